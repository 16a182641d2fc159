"""Forward decay: whatever era an event falls into, it counts its weight halved once a half-life."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.counters import ERA_HALF_LIVES, CounterKind, CounterRules, Era
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction

HALF_LIFE_S = 3_600.0
TYPES = EventTypes(
    [
        EventType("impression", Role.IMPRESSION),
        EventType("view", Role.POSITIVE, 2.0, half_life_s=HALF_LIFE_S),
        EventType("rating", Role.POSITIVE, 3.0, positive_from=4, negative_to=2),
        EventType("opened", Role.NEUTRAL),
    ]
)
RULES = CounterRules(TYPES, trending_half_life_s=600)


def event(kind: str, time_us: int = 0, value: float | None = None) -> Interaction:
    return Interaction(EventId("e"), UserId("u"), ItemId("i"), kind, time_us, value)


@given(time_us=st.integers(0, 4 * 10**15), age_half_lives=st.floats(0, ERA_HALF_LIVES))
def test_an_event_counts_its_weight_halved_once_a_half_life(time_us: int, age_half_lives: float) -> None:
    popular, trending = RULES.increments(event("view", time_us))
    for increment, half_life_s in ((popular, HALF_LIFE_S), (trending, 600)):
        now_us = time_us + int(age_half_lives * half_life_s * 1e6)
        expected = 2.0 * 0.5 ** ((now_us - time_us) / (half_life_s * 1e6))
        assert increment.amount * increment.era.decay(now_us) == pytest.approx(expected, rel=1e-9)
        assert now_us < increment.era.expire_time_us
        assert math.isfinite(increment.amount * 1e12)


@given(ahead_us=st.integers(0, 10**15), half_life_us=st.integers(60_000_000, 10**15))
def test_an_event_ahead_of_now_counts_at_most_as_if_its_era_had_begun(ahead_us: int, half_life_us: int) -> None:
    """A clock a day ahead and a half-life of a minute are 1,440 half-lives, more than a float can hold."""
    now_us = 4 * 10**15
    era = Era(CounterKind.TRENDING, half_life_us, (now_us + ahead_us) // (ERA_HALF_LIVES * half_life_us))
    assert era.decay(now_us) <= 1.0
    assert era.decay(era.landmark_us) == 1.0
    assert era.decay(era.landmark_us + half_life_us) == pytest.approx(0.5)


def test_the_sign_is_that_of_the_judgement() -> None:
    assert [RULES.increments(event("rating", 0, value))[0].amount for value in (5.0, 1.0, None)] == [3.0, -3.0, 3.0]


def test_an_event_that_says_nothing_counts_nothing() -> None:
    assert RULES.increments(event("impression")) == ()
    assert RULES.increments(event("opened")) == ()
    assert RULES.increments(event("rating", 0, 3.0)) == ()
    assert RULES.increments(event("undeclared")) == ()


@given(kind=st.sampled_from(CounterKind), half_life_us=st.integers(1, 10**15), number=st.integers(0, 10**9))
def test_eras_have_names_of_their_own(kind: CounterKind, half_life_us: int, number: int) -> None:
    assert Era.parse(str(Era(kind, half_life_us, number))) == Era(kind, half_life_us, number)
