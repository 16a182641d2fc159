"""The generator: its promises about shape, and that there is something in it for a sequence model to find."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from services.cli.datasets import Dataset, synthetic

NOW = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return synthetic(num_users=300, num_items=200, num_events=9_000, seed=7, now=NOW)


def test_the_shape_is_as_asked(dataset: Dataset) -> None:
    """Counts, order, distinct ids and times, the last event now and none before the span."""
    assert len(dataset.events) == 9_000
    assert len(dataset.items) == 200
    assert len({event.user_id for event in dataset.events}) == 300
    times_us = [event.event_time_us for event in dataset.events]
    assert times_us == sorted(set(times_us))
    assert times_us[-1] == round(NOW.timestamp() * 1e6)
    assert times_us[0] >= round((NOW - timedelta(days=30)).timestamp() * 1e6)
    ids = [event.event_id for event in dataset.events]
    assert ids == sorted(set(ids))
    assert {event.item_id for event in dataset.events} <= {item.item_id for item in dataset.items}


def test_no_user_meets_an_item_twice(dataset: Dataset) -> None:
    """Serving hides what was consumed; a repeat could never be recommended."""
    pairs = Counter((event.user_id, event.item_id) for event in dataset.events)
    assert max(pairs.values()) == 1


def test_one_seed_gives_one_data_set() -> None:
    again = [synthetic(50, 40, 500, seed=seed, now=NOW) for seed in (1, 1, 2)]
    assert again[0] == again[1]
    assert again[0].events != again[2].events


def test_the_last_item_says_more_than_popularity(dataset: Dataset) -> None:
    """On the last tenth in time, counting what followed what hits at least twice as often as popularity, top 10."""
    cut = len(dataset.events) * 9 // 10
    popularity = Counter(event.item_id for event in dataset.events[:cut])
    followers: dict[str, Counter[str]] = defaultdict(Counter)
    last: dict[str, str] = {}
    seen: dict[str, set[str]] = defaultdict(set)
    hits = Counter[str]()
    for place, event in enumerate(dataset.events):
        user_id, item_id = event.user_id, event.item_id
        if place < cut and user_id in last:
            followers[last[user_id]][item_id] += 1
        elif place >= cut and user_id in last:
            for name, counts in (("popularity", popularity), ("followers", followers[last[user_id]])):
                new = [candidate for candidate, _ in counts.most_common() if candidate not in seen[user_id]]
                hits[name] += item_id in new[:10]
        last[user_id] = item_id
        seen[user_id].add(item_id)
    assert hits["popularity"] > 0
    assert hits["followers"] > 2 * hits["popularity"]


def test_popularity_is_skewed(dataset: Dataset) -> None:
    """A tenth of the items takes more than a fifth of the events, as in real catalogues."""
    counts = sorted(Counter(event.item_id for event in dataset.events).values(), reverse=True)
    assert sum(counts[:20]) > 0.2 * len(dataset.events)


@pytest.mark.parametrize("sizes", [(1, 1, 1), (10, 10, 50), (3, 200, 300), (500, 20, 100)])
def test_odd_sizes_work(sizes: tuple[int, int, int]) -> None:
    """One of everything, half of all pairs, few users, and more users than events."""
    if sizes == (1, 1, 1):
        with pytest.raises(ValueError, match="at most 50% of all pairs"):
            synthetic(*sizes, now=NOW)
        return
    made = synthetic(*sizes, now=NOW)
    assert (len(made.items), len(made.events)) == sizes[1:]
    assert max(Counter((event.user_id, event.item_id) for event in made.events).values()) == 1


def test_more_events_than_can_be_new_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 50% of all pairs"):
        synthetic(10, 10, 51, now=NOW)
