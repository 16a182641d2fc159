"""The memory of seen ids: exact among those it remembers, bounded by a number of ids, the newest by event time stay."""

import tracemalloc
import uuid

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.ids import EventId
from services.ingest import dedupe
from services.ingest.dedupe import SeenEvents, num_never_forgotten

HOUR_US = 3_600_000_000


def first(seen: SeenEvents, event_id: str, time_us: int) -> bool:
    return seen.first_times([EventId(event_id)], [time_us])[0]


def test_the_second_time_is_no_first_time() -> None:
    seen = SeenEvents(max_ids=10)
    assert first(seen, "a", 0)
    assert not first(seen, "a", 0)
    assert first(seen, "b", 0)


def test_a_retry_that_names_another_time_is_a_duplicate_all_the_same() -> None:
    seen = SeenEvents(max_ids=10)
    assert first(seen, "a", 0)
    assert not first(seen, "a", 100 * HOUR_US)


def test_a_duplicate_within_one_call_is_found() -> None:
    assert SeenEvents(10).first_times([EventId("a"), EventId("b"), EventId("a")], [1, 2, 3]) == [True, True, False]


def test_a_duplicate_far_behind_the_newest_event_is_found() -> None:
    """One partition may be read weeks of event time ahead of another."""
    seen = SeenEvents(max_ids=10)
    first(seen, "new", 5_000 * HOUR_US)
    assert first(seen, "late", 0)
    assert not first(seen, "late", 0)


def test_beyond_its_bound_the_oldest_are_forgotten() -> None:
    seen = SeenEvents(max_ids=10)
    for hour in range(100):
        assert first(seen, str(hour), hour * HOUR_US)
        assert len(seen) <= 10
    assert not first(seen, "99", 99 * HOUR_US)
    assert first(seen, "0", 0)


@pytest.mark.parametrize("step_us", [0, 1, HOUR_US])
def test_the_newest_stay_however_dense_they_are(step_us: int) -> None:
    """A stream of more than the bound within one hour must not forget what came a second ago."""
    seen = SeenEvents(max_ids=100)
    for start in range(0, 1_000, 20):
        ids = [EventId(str(n)) for n in range(start, start + 20)]
        times = [n * step_us for n in range(start, start + 20)]
        assert all(seen.first_times(ids, times))
        assert len(seen) <= 100
        if step_us:
            assert not any(seen.first_times(ids, times))


def test_a_bound_of_none_remembers_nothing() -> None:
    seen = SeenEvents(max_ids=0)
    assert first(seen, "a", 5)
    assert first(seen, "a", 5)
    assert len(seen) == 0


@given(st.lists(st.lists(st.integers(0, 40), max_size=12), max_size=30), st.integers(1, 16))
def test_it_answers_as_a_set_would(calls: list[list[int]], recent: int) -> None:
    """Whatever is in the hash table, in a run, or merged into another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedupe, "_RECENT", recent)
        seen, model = SeenEvents(max_ids=1_000), set[int]()
        for numbers in calls:
            expected = []
            for number in numbers:
                expected.append(number not in model)
                model.add(number)
            assert seen.first_times([EventId(str(n)) for n in numbers], [n * HOUR_US for n in numbers]) == expected
        assert len(seen) == len(model)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 40), st.integers(1, 16))
def test_it_never_forgets_what_it_must_remember(times: list[int], max_ids: int, recent: int) -> None:
    """Also among ids of the same time, of which only some are kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedupe, "_RECENT", recent)
        seen = SeenEvents(max_ids)
        for number, time_us in enumerate(times):
            seen.first_times([EventId(str(number))], [time_us])
    assert len(seen) <= max_ids
    ranked = sorted(times)
    surely = [
        number for number, time_us in enumerate(times) if len(times) - ranked.index(time_us) <= max_ids * 15 // 16
    ]
    assert not any(seen.first_times([EventId(str(number))], [times[number]])[0] for number in surely)


def test_a_million_ids_take_sixteen_bytes_each() -> None:
    seen = SeenEvents(max_ids=2_000_000)
    for start in range(0, 1_000_000, 100_000):
        assert all(seen.first_times([EventId(uuid.UUID(int=start + n).hex) for n in range(100_000)], [0] * 100_000))
    stored = sum(array.nbytes for run in seen._runs for array in run)
    assert len(seen) == 1_000_000
    assert stored <= 16 * 1_000_000
    again = seen.first_times([EventId(uuid.UUID(int=n).hex) for n in range(0, 1_000_000, 7)], [0] * 142_858)
    assert not np.any(again)


def test_sorting_in_and_forgetting_take_two_thirds_more_for_a_moment() -> None:
    """A container is sized by what the writer takes at its bound, where ids are forgotten again and again."""
    num_ids, part = 500_000, 50_000
    seen = SeenEvents(max_ids=num_ids)
    tracemalloc.start()
    try:
        for start in range(0, num_ids + 4 * part, part):
            ids = [EventId(f"{start + n}") for n in range(part)]
            tracemalloc.reset_peak()
            before = sum(array.nbytes for run in seen._runs for array in run)
            held = tracemalloc.get_traced_memory()[0]
            seen.first_times(ids, range(start, start + part))
            peak = before + tracemalloc.get_traced_memory()[1] - held
            assert peak <= 27 * num_ids + 120 * dedupe._RECENT
    finally:
        tracemalloc.stop()
    assert num_never_forgotten(num_ids) <= len(seen) <= num_ids
