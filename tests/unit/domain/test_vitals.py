"""Sums of how answers went: looks can be subtracted, workers added, and a percentile read."""

import json

import pytest

from services.domain.vitals import BOUNDS_S, Vitals, VitalsCounter, total


def _after(*seconds: float, failed: int = 0, degraded: int = 0) -> Vitals:
    counter = VitalsCounter()
    for number, each in enumerate(seconds):
        counter.call(each, failed=number < failed)
    for _ in range(degraded):
        counter.degraded()
    return counter.now


def test_the_difference_of_two_looks_is_what_happened_between_them() -> None:
    counter = VitalsCounter()
    counter.call(0.001, failed=False)
    first = counter.now
    counter.call(0.5, failed=True)
    counter.degraded()
    between = counter.now - first
    assert (between.num_calls, between.num_failed, between.num_degraded) == (1, 1, 1)
    assert between.failed_share == 1.0


def test_workers_add_up() -> None:
    both = total([_after(0.001, 0.001, failed=1), _after(0.002, degraded=1)])
    assert (both.num_calls, both.num_failed, both.num_degraded) == (3, 1, 1)
    assert total([]) == Vitals()


def test_one_slow_call_of_a_hundred_is_not_the_p99_and_two_are() -> None:
    assert _after(*[0.001] * 99, 1.0).p99_s < 0.0015
    assert 1.0 <= _after(*[0.001] * 98, 1.0, 1.0).p99_s <= 1.5


@pytest.mark.parametrize("seconds", [0.0, 0.0004, 0.003, 0.7, BOUNDS_S[-1]])
def test_a_percentile_is_right_to_half_its_size(seconds: float) -> None:
    found = _after(seconds).p99_s
    assert seconds <= found <= max(1.5 * seconds, BOUNDS_S[0])


def test_beyond_the_last_bound_it_is_infinite_and_without_calls_nothing() -> None:
    assert _after(10.0).p99_s == float("inf")
    assert (Vitals().p99_s, Vitals().failed_share, Vitals().degraded_share) == (0.0, 0.0, 0.0)


def test_they_survive_json() -> None:
    vitals = _after(0.001, 0.2, failed=1, degraded=1)
    assert Vitals.from_json(json.loads(json.dumps(vitals.to_json()))) == vitals
    assert Vitals.from_json({}) == Vitals()
