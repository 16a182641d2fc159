"""What one event says follows from its type and its value, and a type that could judge nothing cannot be made."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.event_types import DEFAULT_EVENT_TYPES, EventType, Judgement, Role

NEXT_BELOW_4, NEXT_ABOVE_2 = math.nextafter(4.0, 0.0), math.nextafter(2.0, 9.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5.0, Judgement(Role.POSITIVE, 3.0)),
        (4.0, Judgement(Role.POSITIVE, 3.0)),
        (NEXT_BELOW_4, Judgement(Role.NEUTRAL, 0.0)),
        (NEXT_ABOVE_2, Judgement(Role.NEUTRAL, 0.0)),
        (2.0, Judgement(Role.NEGATIVE, -3.0)),
        (-1e308, Judgement(Role.NEGATIVE, -3.0)),
        (None, Judgement(Role.POSITIVE, 3.0)),
    ],
)
def test_a_value_is_judged_by_the_thresholds_which_belong_to_their_sides(
    value: float | None, expected: Judgement
) -> None:
    rating = EventType("rating", Role.POSITIVE, 3.0, positive_from=4.0, negative_to=2.0)
    assert rating.judge(value) == expected


@pytest.mark.parametrize("role", [Role.POSITIVE, Role.NEGATIVE, Role.NEUTRAL])
def test_without_a_value_the_declared_role_stands(role: Role) -> None:
    assert EventType("rating", role, positive_from=4.0, negative_to=2.0).judge(None).role is role


def test_with_one_threshold_a_value_that_does_not_reach_it_is_neutral() -> None:
    """Watching ten seconds says nothing where a minute says something, whatever the type was declared to be."""
    watch = EventType("watch", Role.POSITIVE, positive_from=60.0)
    skip = EventType("skip", Role.POSITIVE, negative_to=5.0)
    assert [watch.judge(value).role for value in (60.0, 10.0)] == [Role.POSITIVE, Role.NEUTRAL]
    assert [skip.judge(value).role for value in (5.0, 10.0)] == [Role.NEGATIVE, Role.NEUTRAL]


@given(st.none() | st.floats(allow_nan=False))
def test_without_thresholds_a_value_changes_nothing(value: float | None) -> None:
    for kind in DEFAULT_EVENT_TYPES.declared:
        if kind.positive_from is None and kind.negative_to is None:
            assert kind.judge(value).role is kind.role


@given(
    st.sampled_from([Role.POSITIVE, Role.NEGATIVE, Role.NEUTRAL]),
    st.floats(-100, 100).filter(bool),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_the_sign_of_a_weight_is_that_of_the_judgement(role: Role, weight: float, value: float | None) -> None:
    """Whatever sign the weight was declared with: its size counts."""
    judged = EventType("rating", role, weight, positive_from=4.0, negative_to=2.0).judge(value)
    signs = {Role.POSITIVE: 1, Role.NEGATIVE: -1, Role.NEUTRAL: 0}
    assert judged.weight == signs[judged.role] * abs(weight)


def test_an_impression_weighs_nothing_and_stays_out_of_the_history() -> None:
    impression = EventType("impression", Role.IMPRESSION, 7.0)
    assert impression.judge(None) == Judgement(Role.IMPRESSION, 0.0)
    assert not impression.enters_history


@pytest.mark.parametrize(
    ("role", "weight", "positive_from", "negative_to", "problem"),
    [
        (Role.POSITIVE, 1.0, 2.0, 2.0, "smaller"),
        (Role.POSITIVE, 1.0, 2.0, 4.0, "smaller"),
        (Role.POSITIVE, 1.0, math.nan, None, "finite"),
        (Role.POSITIVE, 1.0, None, -math.inf, "finite"),
        (Role.IMPRESSION, 1.0, 4.0, None, "impression"),
        (Role.POSITIVE, 0.0, None, None, "weight"),
        (Role.NEGATIVE, 0.0, None, None, "weight"),
        (Role.NEUTRAL, 0.0, 4.0, None, "weight"),
        (Role.POSITIVE, math.inf, None, None, "weight"),
    ],
)
def test_a_type_that_could_not_judge_is_refused(
    role: Role, weight: float, positive_from: float | None, negative_to: float | None, problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        EventType("rating", role, weight, positive_from=positive_from, negative_to=negative_to)
