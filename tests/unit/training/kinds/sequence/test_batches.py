"""Windows cover every event exactly once an epoch, whatever the lengths."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.features.history import Rows
from services.training.data.dataset import TrainingSequences
from services.training.kinds.sequence.batches import Batch, Batcher, pad, plan_epoch, prefetched, rounded


def sequences_of(items: Rows, starts: list[int], asked: list[int], wanted: list[int]) -> TrainingSequences:
    """Events ten seconds apart; event n weighs n + 1 and is of type item + 10."""
    weights = np.arange(1, len(items) + 1).astype(np.float32)
    times_us = np.arange(len(items)) * 10_000_000
    rows = items.astype(np.int32), (items + 10).astype(np.int16)
    return TrainingSequences(*rows, times_us, weights, *(np.array(each) for each in (starts, asked, wanted)))


def batch_of(sequences: TrainingSequences, windows: Rows) -> Batch:
    return Batcher(sequences, np.random.default_rng(0)).gather(windows)


def all_asked(starts: Rows) -> TrainingSequences:
    """Every event is asked for at itself."""
    positions = np.arange(int(starts[-1]))
    return sequences_of(positions % 9 + 1, starts.tolist(), positions.tolist(), positions.tolist())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 8), st.integers(1, 40), st.integers(0, 99))
def test_an_epoch_sees_every_event_once_and_no_window_mixes_users(
    lengths: list[int], max_history: int, batch_events: int, seed: int
) -> None:
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    user_of = np.repeat(np.arange(len(lengths)), lengths)
    seen: list[int] = []
    for windows in plan_epoch(all_asked(starts), max_history, batch_events, np.random.default_rng(seed)):
        assert len(windows) == 1 or len(windows) * max(windows[:, 1] - windows[:, 0]) <= batch_events
        for start, stop in windows:
            assert 0 < stop - start <= max_history
            assert len(set(user_of[start:stop].tolist())) == 1
            seen.extend(range(start, stop))
    assert sorted(seen) == list(range(int(starts[-1])))


def test_the_places_where_long_histories_are_cut_move() -> None:
    starts, random = np.array([0, 100]), np.random.default_rng(0)
    first, second = (sorted(plan_epoch(all_asked(starts), 10, 99, random)[0][:, 0].tolist()) for _ in range(2))
    assert first != second


def test_a_batch_holds_the_windows_events_padded_on_the_right() -> None:
    rows = np.array([5, 6, 7, 8], np.int64)
    batch = batch_of(sequences_of(rows, [0, 4], [0, 1], [1, 2]), np.array([[1, 4], [0, 1]]))
    assert batch.items.tolist() == [[6, 7, 8], [5, 0, 0]]
    assert batch.types.tolist() == [[16, 17, 18], [15, 0, 0]]
    assert batch.gaps.tolist() == [[0, 4, 4], [0, 0, 0]]


def test_a_batch_asks_each_target_of_its_windows_at_its_place() -> None:
    """Position 0 asks for event 1, position 1 for 2 and 3, position 2 for 3; windows may come in any order."""
    sequences = sequences_of(np.arange(5, 9), [0, 4], [0, 1, 1, 2], [1, 2, 3, 3])
    batch = batch_of(sequences, np.array([[1, 4], [0, 1]]))
    assert batch.lines.tolist() == [0, 0, 0, 1]
    assert batch.places.tolist() == [0, 0, 1, 0]
    assert batch.targets.tolist() == [7, 8, 8, 6]
    assert batch.weights.tolist() == [3.0, 4.0, 4.0, 2.0]


def test_windows_that_ask_nothing_make_a_batch_without_targets() -> None:
    batch = batch_of(sequences_of(np.arange(1, 4), [0, 3], [0], [1]), np.array([[1, 3]]))
    assert [len(column) for column in (batch.lines, batch.places, batch.targets, batch.weights)] == [0, 0, 0, 0]


def test_batches_come_in_few_shapes() -> None:
    """What computes remembers each shape; what is added to reach one asks nothing."""
    lengths = np.random.default_rng(0).integers(17, 100, size=300)
    sequences = all_asked(np.concatenate(([0], np.cumsum(lengths))))
    random = np.random.default_rng(1)
    batches = [Batcher(sequences, random).gather(each) for each in plan_epoch(sequences, 100, 640, random)]
    assert sum(np.count_nonzero(batch.weights) for batch in batches) == len(sequences.wanted)
    assert all(batch.items.shape[1] in {rounded(length) for length in range(101)} for batch in batches)
    assert all(len(batch.targets) == rounded(int(np.count_nonzero(batch.weights))) for batch in batches)


@given(st.integers(0, 100_000))
def test_sizes_are_rounded_up_by_a_sixteenth_at_most(size: int) -> None:
    assert size <= rounded(size) <= size + size / 16
    assert rounded(rounded(size)) == rounded(size)


def test_a_worker_without_a_window_in_a_batch_has_nothing_to_do() -> None:
    """Of a batch of fewer windows than workers some get none, and take part in the step all the same."""
    batch = batch_of(sequences_of(np.arange(5, 9), [0, 4], [0], [1]), np.empty((0, 2), np.int64))
    assert batch.items.shape == (0, 0)
    assert [len(column) for column in batch[3:]] == [0, 0, 0, 0, 0]


def test_padding_nothing_needs_no_room() -> None:
    assert pad([np.array([1, 2])]).tolist() == [[1, 2]]


def test_a_target_is_held_against_what_its_user_disliked_and_no_other() -> None:
    """The first user disliked items 6 and 8, the second none."""
    sequences = sequences_of(np.arange(5, 10), [0, 4, 5], [0, 1], [1, 2])
    weights = np.array([1, -1, 1, -2, 1], np.float32)
    batcher = Batcher(replace(sequences, weights=weights), np.random.default_rng(0))
    drawn = {tuple(batcher.gather(np.array([[0, 4]])).disliked.tolist()) for _ in range(30)}
    assert drawn == {(6, 6), (8, 8)}
    assert batcher.gather(np.array([[4, 5]])).disliked.tolist() == []
    nobody = Batcher(sequences, np.random.default_rng(0))
    assert nobody.gather(np.array([[0, 4]])).disliked.tolist() == [0, 0]


def test_prefetching_keeps_the_order_and_raises_what_was_raised() -> None:
    assert list(prefetched(lambda number: number * 2, range(5))) == [0, 2, 4, 6, 8]
    assert list(prefetched(str, ())) == []
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda number: 1 // number, [1, 0]))


def test_windows_that_ask_nothing_are_left_out() -> None:
    """Of three users the second one has no target."""
    planned = plan_epoch(sequences_of(np.arange(1, 7), [0, 2, 4, 6], [0, 4], [1, 5]), 10, 99, np.random.default_rng(0))
    assert sorted(window for batch in planned for window in batch.tolist()) == [[0, 2], [4, 6]]
