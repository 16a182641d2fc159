"""Counting a stream: brute force, whatever the order of the rows and however they are cut into pieces."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.event_columns import EventColumns, Words
from services.settings.checks import CheckSettings
from services.training.checking.rules import findings
from services.training.checking.tally import MAX_TYPES, OTHER_TYPES, Counted, Tally
from services.training.checking.windows import DAY_US, NUM_WINDOWS

NEWEST_US = 20_000 * DAY_US
Row = tuple[str, str, str, int, float]
# Few enough that users, items and whole events come again; the day before all that are compared, and the future.
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["ada", "bob", "eve", ""]),
        st.sampled_from(["book", "film", "song"]),
        st.sampled_from(["view", "rating"]),
        st.integers(-2, 4 * (NUM_WINDOWS + 2)).map(lambda quarter: NEWEST_US - quarter * DAY_US // 4),
        st.sampled_from([1.0, float("nan"), float("inf")]),
    ),
    max_size=60,
)


def columns(rows: Sequence[Row]) -> EventColumns:
    return EventColumns(
        Words.of(row[0] for row in rows),
        Words.of(row[1] for row in rows),
        Words.of(row[2] for row in rows),
        np.array([row[3] for row in rows], np.int64),
        np.array([row[4] for row in rows], np.float64),
    )


def tallied(rows: Sequence[Row], size: int = 1_000, max_keys: int = 1 << 20) -> Counted:
    tally = Tally(NEWEST_US, ["rating"], max_keys)
    for start in range(0, len(rows), size):
        tally.add(columns(rows[start : start + size]))
    return tally.counted()


def plain(counted: Counted) -> dict[str, Any]:
    """To be compared; items in an order of their own."""
    document = asdict(counted)
    counts, first = document.pop("item_counts"), document.pop("item_first")
    document["items"] = sorted(zip(map(tuple, counts.tolist()), first.tolist(), strict=True))
    document["of_types"] = {name: each.tolist() for name, each in document["of_types"].items()}
    return {name: each.tolist() if isinstance(each, np.ndarray) else each for name, each in document.items()}


def window(row: Row) -> int:
    return (NEWEST_US - row[3]) // DAY_US


@given(rows=ROWS)
def test_what_is_counted_is_what_brute_force_finds(rows: list[Row]) -> None:
    counted = tallied(rows, size=7)
    near = {number: [row for row in rows if window(row) == number] for number in range(NUM_WINDOWS + 1)}
    assert (counted.num_all, counted.num_future) == (len(rows), sum(row[3] > NEWEST_US for row in rows))
    assert counted.num_events.tolist() == [len(near[number]) for number in range(NUM_WINDOWS + 1)]
    items = {row[1] for row in rows if window(row) >= 0}
    first = {item: max(window(row) for row in rows if row[1] == item and window(row) >= 0) for item in items}
    assert sorted(counted.item_first[counted.item_first >= 0].tolist()) == sorted(first.values())
    for number in range(NUM_WINDOWS):
        of_window = near[number]
        assert counted.num_users[number] == len({row[0] for row in of_window})
        assert counted.num_keys[number] - counted.num_different_keys[number] == len(of_window) - len(
            {row[:4] for row in of_window}
        )
        ratings = [row for row in of_window if row[2] == "rating"]
        assert counted.num_wanting[number] == len(ratings)
        assert counted.num_without_value[number] == sum(not np.isfinite(row[4]) for row in ratings)
        assert counted.num_without_ids[number] == sum(not row[0] for row in of_window)
        of_items = Counter(row[1] for row in of_window)
        counts = counted.item_counts[:, number]
        assert sorted(counts[counts > 0].tolist()) == sorted(of_items.values())
        for name in ("view", "rating"):
            of_type = counted.of_types.get(name, np.zeros(NUM_WINDOWS, np.int64))
            assert of_type[number] == sum(row[2] == name for row in of_window)


@settings(max_examples=60)
@given(rows=ROWS, seed=st.integers(0, 1_000), size=st.integers(1, 60))
def test_neither_the_order_of_rows_nor_how_they_come_matters(rows: list[Row], seed: int, size: int) -> None:
    shuffled = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]
    one, other = tallied(rows), tallied(shuffled, size)
    assert plain(one) == plain(other)
    judge = CheckSettings(min_history_days=1)
    assert findings(one, 0.0, ["view", "rating"], judge) == findings(other, 0.0, ["view", "rating"], judge)


@settings(max_examples=30)
@given(rows=ROWS, seed=st.integers(0, 1_000), max_keys=st.integers(1, 10))
def test_nor_does_it_where_keys_are_sampled(rows: list[Row], seed: int, max_keys: int) -> None:
    """Law 9: past the bound a share of the keys is held, the same one whatever came first."""
    shuffled = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]
    assert plain(tallied(rows, 5, max_keys)) == plain(tallied(shuffled, 11, max_keys))


def test_no_more_types_are_held_than_anybody_declares() -> None:
    """A producer that sends ids as types fills no memory."""
    rows: list[Row] = [("ada", "book", f"type-{number}", NEWEST_US, 1.0) for number in range(3 * MAX_TYPES)]
    of_types = tallied(rows).of_types
    assert len(of_types) == MAX_TYPES + 1
    assert of_types[OTHER_TYPES][0] == 2 * MAX_TYPES
