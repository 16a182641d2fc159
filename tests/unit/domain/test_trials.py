"""Who takes part in a trial: the share that was asked for, the same everywhere and for ever, others the next time."""

from dataclasses import replace
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.ids import UserId
from services.domain.trials import Likeness, TrialFigures, TrialKind, going_on, overlap, position
from services.domain.vitals import VitalsCounter
from tests.fakes.trials import trial

NUM_USERS = 2_000
SIGMAS = 6  # of 100 examples one is beyond by chance in ten million runs


@given(
    number=st.integers(1, 10**9), share=st.floats(0.01, 1.0), prefix=st.text(max_size=8), step=st.sampled_from((1, 7))
)
def test_the_share_of_users_is_right_within_its_binomial_bounds(
    number: int, share: float, prefix: str, step: int
) -> None:
    """Whatever users are called: numbered ones too."""
    canary = trial(TrialKind.CANARY, "v2", share, number)
    num_in = sum(canary.includes(UserId(f"{prefix}{step * each}")) for each in range(NUM_USERS))
    assert abs(num_in - share * NUM_USERS) <= SIGMAS * sqrt(NUM_USERS * share * (1 - share)) + 1


@given(number=st.integers(1, 10**6), user_id=st.text(min_size=1), shares=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_larger_share_keeps_the_users_it_had(number: int, user_id: str, shares: tuple[float, float]) -> None:
    small, large = (trial(TrialKind.CANARY, "v2", share, number) for share in sorted(shares))
    assert large.includes(UserId(user_id)) or not small.includes(UserId(user_id))


@given(user_id=st.text(min_size=1))
def test_all_and_nobody(user_id: str) -> None:
    assert trial(TrialKind.CANARY, "v2", 1.0).includes(UserId(user_id))
    assert not trial(TrialKind.CANARY, "v2", 0.0).includes(UserId(user_id))


def test_a_new_trial_draws_others() -> None:
    """Of two trials of half the users a quarter is in both: what one did to them is not in the figures of the next."""
    first, second = trial(TrialKind.CANARY, "v2", 0.5, 1), trial(TrialKind.CANARY, "v2", 0.5, 2)
    users = [UserId(f"user-{number}") for number in range(NUM_USERS)]
    num_both = sum(first.includes(user) and second.includes(user) for user in users)
    assert abs(num_both - NUM_USERS / 4) <= SIGMAS * sqrt(NUM_USERS * 3 / 16)


@pytest.mark.parametrize(
    ("first", "user_id", "expected"),
    [(1, "ann", 11936582726596761213), (1, "日本", 2124725292448836708), (12, "ann", 14229351329776347696)],
)
def test_the_hash_is_the_same_for_ever(first: int, user_id: str, expected: int) -> None:
    """Else a release that is rolled out would give users the other side in the middle of a trial."""
    assert position(first, UserId(user_id)) == expected


def test_the_newest_change_of_each_kind_counts() -> None:
    canary, shadow = trial(TrialKind.CANARY, "v2", 0.5, 1), trial(TrialKind.SHADOW, "v3", 1.0, 2)
    over = replace(canary, number=3, share=0.0)
    assert going_on([shadow, canary]) == [canary, shadow]
    assert going_on([over, shadow, canary]) == [shadow]
    assert going_on([]) == []


def test_overlap_is_the_share_of_the_first_ten_returned() -> None:
    returned = tuple(f"item-{number}" for number in range(20))
    assert overlap(returned, returned) == 1.0
    assert overlap(returned, returned[::-1]) == 0.0
    assert overlap(returned, returned[5:]) == 0.5
    assert overlap(returned[:4], returned[3:]) == 0.25
    assert overlap((), returned) is None


def test_figures_add_up_and_come_back_from_json() -> None:
    counter = VitalsCounter()
    counter.call(0.01, failed=True)
    counter.degraded()
    each = TrialFigures(counter.now, VitalsCounter().now, Likeness(2, 1.5, 3))
    both = each + each
    assert (both.of_trial.num_calls, both.of_trial.num_failed, both.of_trial.num_degraded) == (2, 2, 2)
    assert (both.likeness.num_compared, both.likeness.overlap_at_10, both.likeness.num_dropped) == (4, 0.75, 6)
    assert TrialFigures.from_json(both.to_json()) == both
    assert Likeness().overlap_at_10 is None
