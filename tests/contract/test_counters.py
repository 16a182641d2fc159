"""The CounterWriter, CounterRebuilder and ItemCounters ports: every record counts once, and decays as it should."""

from collections.abc import Callable, Iterator

import pytest

from services.adapters.redis_store import RedisCounterWriter, RedisItemCounters, RedisStore
from services.domain.counters import ERA_HALF_LIVES, CounterBatch, CounterKind
from services.domain.errors import FeatureStoreDown, RebuildConflict
from services.domain.ids import ItemId
from tests.counter_stores import (
    CLOCK,
    DAY_S,
    HOUR_S,
    LIMITS,
    NOW_US,
    RULES,
    FakeStore,
    RealStore,
    Store,
    batch,
    event,
    new_shard,
    top,
)

REDIS = ("redis_url", "redis_cluster_url")


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.redis) for name in REDIS)])
def store(request: pytest.FixtureRequest, empty_redis: Callable[[str], str]) -> Iterator[Store]:
    if request.param == "fake":
        yield FakeStore()
    else:
        real = RealStore(empty_redis(request.param))
        yield real
        real.writer.close()
        real.rebuilder.close()


async def test_nothing_is_popular_before_the_first_event(store: Store) -> None:
    assert await top(store) == {}


async def test_weights_decay_with_each_types_half_life_and_trending_with_its_own(store: Store) -> None:
    """Summed over shards, eras and half-lives; by hand."""
    first, second = new_shard(), new_shard()
    store.writer.apply(
        [
            batch(first, [event("1", age_s=DAY_S / 2), event("2", age_s=19 * DAY_S), event("3", kind="impression")]),
            batch(second, [event("4", kind="rating", value=5.0, age_s=5 * DAY_S), event("5", "film", age_s=HOUR_S)]),
        ]
    )
    expected = 0.5**0.5 + 0.5**19 + 3 * 0.5
    assert await top(store) == pytest.approx({"book": expected, "film": 0.5 ** (1 / 24)})
    assert await top(store, CounterKind.TRENDING) == pytest.approx({"film": 0.5, "book": 0.5**12})


async def test_disliked_items_sink_and_leave_the_list(store: Store) -> None:
    rated = [event(f"{n}", f"i{n}", "rating", value=float(n)) for n in range(1, 6)]
    store.writer.apply([batch(new_shard(), [*rated, event("more", "i1"), event("v", "i2", kind="view")])])
    assert await top(store) == pytest.approx({"i4": 3.0, "i5": 3.0}, rel=1e-3)


async def test_equal_sums_are_in_the_order_of_their_ids(store: Store) -> None:
    store.writer.apply([batch(new_shard(), [event(f"{n}", f"i{n}") for n in (2, 0, 1)])])
    assert [item for item, _ in await store.reader.top(CounterKind.POPULAR, 2, NOW_US)] == ["i0", "i1"]


async def test_records_below_the_fence_change_nothing(store: Store) -> None:
    """A crash after counting repeats the batch, alone or as part of a larger one."""
    shard, events = new_shard(), [event(f"{n}", f"i{n}") for n in range(4)]
    assert store.writer.fences([shard]) == {shard: 0}
    assert store.writer.apply([batch(shard, events[:2])]) == {shard: 2}
    assert store.writer.apply([batch(shard, events[:2])]) == {shard: 2}
    assert store.writer.apply([batch(shard, events)]) == {shard: 4}
    assert store.writer.fences([shard]) == {shard: 4}
    assert await top(store) == pytest.approx({f"i{n}": 1.0 for n in range(4)}, rel=1e-3)


async def test_a_batch_that_would_leave_a_gap_is_refused(store: Store) -> None:
    """So does a writer learn that a rebuild set the fence back, or that Redis lost its last writes."""
    shard = new_shard()
    assert store.writer.apply([batch(shard, [event("1")], start=7)]) == {shard: 0}
    assert await top(store) == {}


async def test_records_without_events_move_the_fence(store: Store) -> None:
    shard = new_shard()
    assert store.writer.apply([CounterBatch(shard, 0, 9, [])]) == {shard: 9}
    assert store.writer.apply([CounterBatch(shard, 9, 12, [(11, event("1"))])]) == {shard: 12}
    assert len(await top(store)) == 1


async def test_an_id_that_comes_again_counts_once(store: Store) -> None:
    """In one batch, in the next, and behind the next window's start; not when it is far behind."""
    shard, once = new_shard(), event("same")
    store.writer.apply([batch(shard, [once, once])])
    store.writer.apply([CounterBatch(shard, 2, 1_500, [(2, once), (1_400, once)])])
    assert await top(store) == pytest.approx({"book": 1.0}, rel=1e-3)
    store.writer.apply([CounterBatch(shard, 1_500, 3_000, [(2_999, once)])])
    assert await top(store) == pytest.approx({"book": 2.0}, rel=1e-3)


async def test_surfaces_have_counters_of_their_own_up_to_their_bound(store: Store) -> None:
    """Events on one surface too many, and on none, count in the whole alone."""
    shown = [event(where, where or "nowhere", surface=where) for where in ("home", "a:b", "third", "")]
    store.writer.apply([batch(new_shard(), shown)])
    assert set(await top(store)) == {"home", "a:b", "third", "nowhere"}
    assert set(await top(store, surface="home")) == {"home"}
    assert set(await top(store, CounterKind.TRENDING, surface="a:b")) == {"a:b"}
    assert await top(store, surface="third") == {}


async def test_only_the_items_asked_for_are_ranked(store: Store) -> None:
    store.writer.apply([batch(new_shard(), [event(f"{n}", f"i{n % 3}") for n in range(6)])])
    assert set(await top(store, among=[ItemId("i2"), ItemId("unknown")])) == {"i2"}
    assert await top(store, among=[]) == {}


async def test_what_is_too_old_to_matter_is_not_kept(store: Store) -> None:
    """Trending forgets two eras of its half-life; popular still knows."""
    old = event("1", age_s=2 * ERA_HALF_LIVES * HOUR_S)
    store.writer.apply([batch(new_shard(), [old])])
    assert await top(store, CounterKind.TRENDING) == {}
    assert len(await top(store)) == 1


async def test_an_event_far_ahead_of_now_breaks_no_list(store: Store) -> None:
    """By more half-lives than a float has powers of two."""
    store.writer.apply([batch(new_shard(), [event("1", "ahead", age_s=-2_000 * HOUR_S), event("2")])])
    assert list(await top(store, CounterKind.TRENDING)) == ["ahead", "book"]
    assert list(await top(store)) == ["ahead", "book"]


async def test_a_long_list_is_exact(store: Store) -> None:
    """Items strong in one shard and weak in the other, and deeper than the first read."""
    first, second = new_shard(), new_shard()
    store.writer.apply([batch(first, [event(f"{n}", f"i{n % 3}") for n in range(1_200)])])
    store.writer.apply([batch(second, [event(f"{n}", f"i{n % 2}") for n in range(600)])])
    assert await top(store) == pytest.approx({"i0": 700.0, "i1": 700.0, "i2": 400.0}, rel=1e-3)


async def test_a_copy_is_seen_only_once_published_and_brings_its_fence(store: Store) -> None:
    """What the shard had beyond the copy is gone: the writer reads it again from the fence."""
    shard = new_shard()
    store.writer.apply([batch(shard, [event(f"{n}", "old", surface="home") for n in range(5)])])
    store.rebuilder.discard([shard])
    store.rebuilder.apply([batch(shard, [event("0", "new", surface="away")])])
    assert set(await top(store)) == {"old"}
    assert store.rebuilder.fences([shard]) == {shard: 1}
    store.rebuilder.publish(shard)
    assert set(await top(store)) == {"new"}
    assert await top(store, surface="home") == {}
    assert store.writer.fences([shard]) == {shard: 1}
    assert store.writer.apply([batch(shard, [event("later", "new")], start=5)]) == {shard: 1}
    store.writer.apply([batch(shard, [event("0", "new")], start=1)])
    assert await top(store) == pytest.approx({"new": 1.0}, rel=1e-3)


async def test_a_copy_of_nothing_empties_the_shard(store: Store) -> None:
    shard = new_shard()
    store.writer.apply([batch(shard, [event("0")])])
    store.rebuilder.discard([shard])
    store.rebuilder.publish(shard)
    assert await top(store) == {}
    assert store.writer.fences([shard]) == {shard: 0}


async def test_a_copy_published_again_changes_nothing(store: Store) -> None:
    """A call whose answer was lost is sent again, when the writer may have gone on already."""
    shard = new_shard()
    store.rebuilder.discard([shard])
    store.rebuilder.apply([batch(shard, [event("0", "new")])])
    store.rebuilder.publish(shard)
    store.writer.apply([batch(shard, [event("1", "newer")], start=1)])
    store.rebuilder.publish(shard)
    assert await top(store) == pytest.approx({"new": 1.0, "newer": 1.0}, rel=1e-3)
    assert store.writer.fences([shard]) == {shard: 2}


@pytest.mark.parametrize("is_published", [False, True])
async def test_a_copy_that_another_rebuild_has_taken_is_not_published(store: Store, is_published: bool) -> None:
    """Nor does the shard go for want of a copy."""
    shard, other = new_shard(), store.another_rebuilder()
    store.writer.apply([batch(shard, [event("0")])])
    with pytest.raises(RebuildConflict):
        other.publish(shard)
    store.rebuilder.discard([shard])
    store.rebuilder.apply([batch(shard, [event("0"), event("1")])])
    other.discard([shard])
    if is_published:
        other.apply([batch(shard, [event("0")])])
        other.publish(shard)
    with pytest.raises(RebuildConflict):
        store.rebuilder.publish(shard)
    assert await top(store) == pytest.approx({"book": 1.0}, rel=1e-3)
    assert store.writer.fences([shard]) == {shard: 1}


async def test_a_discarded_copy_is_empty(store: Store) -> None:
    shard = new_shard()
    store.rebuilder.apply([batch(shard, [event("0")])])
    store.rebuilder.discard([shard])
    assert store.rebuilder.fences([shard]) == {shard: 0}


async def test_a_store_that_is_gone_is_a_typed_retryable_error() -> None:
    url = "redis://127.0.0.1:1/0"
    with pytest.raises(FeatureStoreDown):
        RedisCounterWriter(url, RULES, LIMITS, CLOCK, timeout_s=0.2).apply([batch(new_shard(), [event("1")])])
    with pytest.raises(FeatureStoreDown):
        await RedisItemCounters(RedisStore(url, timeout_s=0.2)).top(CounterKind.POPULAR, 5, NOW_US)
