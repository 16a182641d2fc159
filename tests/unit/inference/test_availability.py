"""What may not be shown, worked out once for each model, snapshot and edge of a window."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.domain.ids import ItemId
from services.domain.items import ALWAYS, Availability, AvailabilityChanges
from services.inference.availability import EMPTY, AvailabilitySlot, Snapshot, Unavailable, Windows
from services.inference.availability_file import AvailabilityFile
from services.inference.serving_model import ServingModel
from tests.fakes.availability import HIDDEN, snapshot_of
from tests.fakes.clock import START, FakeClock

NOW_US = int(START.timestamp() * 1_000_000)
moments = st.none() | st.integers(NOW_US - 3, NOW_US + 3)
availabilities = st.builds(Availability, st.booleans(), moments, moments)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def slot(clock: FakeClock) -> AvailabilitySlot:
    return AvailabilitySlot(clock)


def test_before_the_first_snapshot_nothing_is_known(slot: AvailabilitySlot, model: ServingModel) -> None:
    unavailable = slot.of(model)
    assert (unavailable.rows.tolist(), unavailable.version, unavailable.is_known) == ([], "", False)


def test_hidden_items_are_unavailable_and_those_the_model_does_not_know_are_passed_over(
    slot: AvailabilitySlot, model: ServingModel
) -> None:
    slot.replace(snapshot_of(item_5=HIDDEN, item_2=HIDDEN, unknown=HIDDEN), None)
    unavailable = slot.of(model)
    assert (unavailable.rows.tolist(), unavailable.is_known) == ([2, 5], True)


def test_the_version_changes_exactly_when_the_rows_do(slot: AvailabilitySlot, model: ServingModel) -> None:
    """Law 2: it is part of the cache key, so another set is another key, and an old set finds its old answers."""
    versions = []
    for number, hidden in enumerate(
        [{"item_1": HIDDEN}, {"item_2": HIDDEN}, {"item_1": HIDDEN, "unknown": HIDDEN}, {}]
    ):
        slot.replace(snapshot_of(number, **hidden), None)
        versions.append(slot.of(model).version)
    assert versions[0] == versions[2]
    assert len(set(versions)) == 3
    assert versions[3] == ""


def test_a_window_opens_and_closes_by_itself(slot: AvailabilitySlot, clock: FakeClock, model: ServingModel) -> None:
    """No event, no notice and no look into the database: the clock alone."""
    window = Availability(from_us=NOW_US + 1_000_000, until_us=NOW_US + 3_000_000)
    slot.replace(snapshot_of(item_1=window), None)
    seen = []
    for _ in range(5):
        unavailable = slot.of(model)
        seen.append((unavailable.rows.tolist(), unavailable.version == ""))
        clock.advance(1)
    assert seen == [([1], False), ([], True), ([], True), ([1], False), ([1], False)]


def test_a_clock_that_is_set_back_closes_what_it_had_opened(
    slot: AvailabilitySlot, clock: FakeClock, model: ServingModel
) -> None:
    slot.replace(snapshot_of(item_1=Availability(from_us=NOW_US)), None)
    assert slot.of(model).rows.tolist() == []
    clock.advance(-1)
    assert slot.of(model).rows.tolist() == [1]


def test_between_two_edges_nothing_is_worked_out_again(
    slot: AvailabilitySlot, clock: FakeClock, model: ServingModel, other_model: ServingModel
) -> None:
    snapshot = snapshot_of(item_1=Availability(until_us=NOW_US + 2_000_000), item_2=HIDDEN)
    slot.replace(snapshot, Windows.of(snapshot, model))
    first = slot.of(model)
    clock.advance(1)
    assert slot.of(model) is first
    of_other = slot.of(other_model)
    assert of_other is not first
    assert of_other.rows.tolist() == [2]
    clock.advance(1)
    assert slot.of(other_model).rows.tolist() == [1, 2]


def test_what_was_worked_out_for_another_model_is_not_used(
    slot: AvailabilitySlot, model: ServingModel, other_model: ServingModel
) -> None:
    """The model may be swapped while a snapshot is on its way."""
    snapshot = snapshot_of(item_1=HIDDEN)
    slot.replace(snapshot, Windows.of(snapshot_of(item_2=HIDDEN), model))
    assert slot.of(other_model).rows.tolist() == [1]
    slot.replace(snapshot, Windows.of(snapshot_of(item_2=HIDDEN), model))
    assert slot.of(model).rows.tolist() == [1]


def test_a_model_that_is_prepared_before_its_swap_is_answered_for_at_once(
    slot: AvailabilitySlot, model: ServingModel, other_model: ServingModel
) -> None:
    snapshot = snapshot_of(item_1=HIDDEN)
    slot.prepare(model)
    slot.replace(snapshot, Windows.of(snapshot, model))
    slot.prepare(other_model)
    prepared = slot.windows
    assert prepared is not None
    assert prepared.are_of(snapshot, other_model)
    assert slot.of(model).rows.tolist() == slot.of(other_model).rows.tolist() == [1]
    assert slot.windows is prepared


@given(st.lists(st.dictionaries(st.integers(1, 8), availabilities, max_size=4), max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_changes_one_after_another_end_where_reading_all_at_once_does(
    model: ServingModel, steps: list[dict[int, Availability]]
) -> None:
    """Items 7 and 8 are none of the model's."""
    snapshot, windows = EMPTY, Windows.of(EMPTY, model)
    for version, step in enumerate(steps, start=1):
        changes = AvailabilityChanges(version, {ItemId(f"item-{row}"): each for row, each in step.items()})
        snapshot = snapshot.after(changes)
        windows = windows.after(snapshot, changes, model)
    anew = Windows.of(snapshot, model)
    assert windows.from_us.tolist() == anew.from_us.tolist()
    assert windows.until_us.tolist() == anew.until_us.tolist()
    assert not any(each == ALWAYS for each in snapshot.restricted.values())


def test_changes_replace_what_was_known_and_lift_restrictions() -> None:
    before = snapshot_of(1, item_1=HIDDEN, item_2=HIDDEN)
    window = Availability(from_us=7)
    after = before.after(AvailabilityChanges(4, {ItemId("item-1"): ALWAYS, ItemId("item-3"): window}))
    assert after == snapshot_of(4, item_2=HIDDEN, item_3=window)
    assert before == snapshot_of(1, item_1=HIDDEN, item_2=HIDDEN)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.integers(1, 6), availabilities), st.integers(NOW_US - 4, NOW_US + 4), st.integers(0, 6))
def test_a_moment_says_the_same_as_each_window_until_its_edge(
    model: ServingModel, restricted: dict[int, Availability], now_us: int, later_us: int
) -> None:
    """Whatever the windows: hidden, open at one end, empty, or the wrong way round."""
    snapshot = Snapshot(1, {ItemId(f"item-{row}"): each for row, each in restricted.items()})
    moment = Windows.of(snapshot, model).at(now_us)
    assert moment.since_us <= now_us < moment.until_us
    at_us = min(now_us + later_us, moment.until_us - 1)
    unavailable = sorted(row for row, each in restricted.items() if not may_be_shown(each, at_us))
    assert moment.unavailable.rows.tolist() == unavailable


def may_be_shown(availability: Availability, now_us: int) -> bool:
    """The plain statement of the contract."""
    starts = availability.from_us is None or now_us >= availability.from_us
    ends = availability.until_us is not None and now_us >= availability.until_us
    return starts and not ends and not availability.hidden


def test_other_rows_are_added_once_each() -> None:
    unavailable = Unavailable.of(np.array([2, 5]), np.isin(np.arange(7), [2, 5]))
    excluded = unavailable.and_rows(np.array([5, 1, 6]))
    assert len(excluded) == 4
    assert np.flatnonzero(excluded.among(np.arange(7))).tolist() == [1, 2, 5, 6]


def test_a_file_remembers_the_newest_snapshot(tmp_path: Path) -> None:
    file = AvailabilityFile(tmp_path / "run" / "availability.jsonl")
    assert file.recall() is None
    first = snapshot_of(3, item_1=HIDDEN, item_2=Availability(from_us=1, until_us=2**53 + 1))
    for snapshot in (EMPTY, first, Snapshot(4, {ItemId('日本 "\\'): Availability(until_us=5)})):
        file.remember(snapshot)
        assert file.recall() == snapshot


@pytest.mark.parametrize("text", ["", "no json", '{"version": 1}\n["item-1"', '{"version": 1}\n7\n', "[]\n"])
def test_a_broken_file_is_as_good_as_none_and_is_written_anew(tmp_path: Path, text: str) -> None:
    path = tmp_path / "availability.jsonl"
    path.write_text(text)
    file = AvailabilityFile(path)
    assert file.recall() is None
    file.remember(snapshot_of(2, item_1=HIDDEN))
    assert file.recall() == snapshot_of(2, item_1=HIDDEN)
