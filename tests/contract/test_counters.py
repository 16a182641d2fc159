"""The CounterWriter, CounterRebuilder and ItemCounters ports: every record counts once, and decays as it should."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.adapters.redis_store import CounterLimits, RedisCounterWriter, RedisItemCounters
from services.adapters.redis_store.keys import SHARDS, directory_key, shard_prefix, user_keys
from services.domain.clock import SystemClock
from services.domain.counters import ERA_HALF_LIVES, CounterBatch, CounterKind, CounterRules, Shard
from services.domain.errors import FeatureStoreDown, RebuildConflict
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.ports import CounterRebuilder, CounterWriter, ItemCounters
from tests.fakes.counters import FakeCounters
from tests.redis_cluster import move_slot
from tests.redis_state import client_of, state_of

REDIS = ("redis_url", "redis_cluster_url")
HOUR_S, DAY_S = 3_600.0, 86_400.0
TYPES = EventTypes(
    [
        EventType("impression", Role.IMPRESSION),
        EventType("view", Role.POSITIVE, 1.0, half_life_s=DAY_S),
        EventType("rating", Role.POSITIVE, 3.0, half_life_s=5 * DAY_S, positive_from=4, negative_to=2),
    ]
)
RULES = CounterRules(TYPES, trending_half_life_s=HOUR_S)
LIMITS = CounterLimits(max_items=6, max_surfaces=2, dedupe_offsets=1_000, ttl_s=3_600)
CLOCK = SystemClock()
CHOICES: tuple[dict[str, Any], ...] = ({}, {"surface": "s1"}, {"among": [ItemId("i1")]})
NOW_US = int(CLOCK.now().timestamp() * 1_000_000)


class Store(Protocol):
    @property
    def writer(self) -> CounterWriter: ...

    @property
    def rebuilder(self) -> CounterRebuilder: ...

    @property
    def reader(self) -> ItemCounters: ...

    def another_rebuilder(self) -> CounterRebuilder: ...


class RealStore:
    def __init__(self, url: str) -> None:
        self._url = url
        self.writer = RedisCounterWriter(url, RULES, LIMITS, CLOCK)
        self.rebuilder = self.another_rebuilder()
        self.reader = RedisItemCounters(url, timeout_s=5)

    def another_rebuilder(self) -> RedisCounterWriter:
        return RedisCounterWriter(self._url, RULES, LIMITS, CLOCK, staged=True)


class FakeStore:
    def __init__(self) -> None:
        self.writer = self.reader = FakeCounters(RULES, LIMITS, CLOCK)
        self.rebuilder = self.another_rebuilder()

    def another_rebuilder(self) -> FakeCounters:
        return self.writer.staged()


@pytest.fixture
def empty_redis(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Address of a Redis by its fixture's name, emptied: the reader reads every shard there is."""

    def emptied(name: str) -> str:
        url = str(request.getfixturevalue(name))
        if name == "redis_url":
            url = url.removesuffix("/0") + "/7"
        with client_of(url) as client:
            client.flushdb()
        return url

    return emptied


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.redis) for name in REDIS)])
def store(request: pytest.FixtureRequest, empty_redis: Callable[[str], str]) -> Iterator[Store]:
    if request.param == "fake":
        yield FakeStore()
    else:
        real = RealStore(empty_redis(request.param))
        yield real
        real.writer.close()
        real.rebuilder.close()


def new_shard() -> Shard:
    return Shard(f"events-{uuid.uuid4().hex}/0")


def event(name: str, item: str = "book", kind: str = "view", age_s: float = 0, **fields: Any) -> Interaction:
    time_us = NOW_US - int(age_s * 1e6)
    return Interaction(EventId(name), UserId("ada"), ItemId(item), kind, time_us, **fields)


def batch(shard: Shard, events: Sequence[Interaction], start: int = 0) -> CounterBatch:
    return CounterBatch(shard, start, start + len(events), list(enumerate(events, start)))


async def top(store: Store, kind: CounterKind = CounterKind.POPULAR, **options: Any) -> dict[str, float]:
    return dict(await store.reader.top(kind, 10, NOW_US, **options))


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


drawn_events = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 3), st.sampled_from(["view", "rating"]), st.integers(0, 40)),
    max_size=40,
).map(
    lambda drawn: [
        event(f"e{n}", f"i{i}", kind, age_s=hours * HOUR_S, value=float(n) if n % 2 else None, surface=f"s{n % 4}")
        for n, i, kind, hours in drawn
    ]
)


@pytest.mark.redis
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=drawn_events, data=st.data())
async def test_however_a_partition_is_cut_and_repeated_its_counters_are_the_same(
    empty_redis: Callable[[str], str], events: list[Interaction], data: st.DataObject
) -> None:
    """To the last bit, whatever the batches, repetitions and restarts; and as the plain statement says."""
    url, shard, reference = empty_redis("redis_url"), new_shard(), FakeStore()
    store = RealStore(url)
    store.writer.apply([batch(shard, events)])
    reference.writer.apply([batch(shard, events)])
    for options in CHOICES:
        for kind in CounterKind:
            expected = await top(reference, kind, **options)
            assert await top(store, kind, **options) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    at_once = state_of(url)
    empty_redis("redis_url")
    fence = store.writer.fences([shard])[shard]
    while fence < len(events):
        start = data.draw(st.integers(0, fence))
        end = data.draw(st.integers(fence + 1, len(events)))
        fence = store.writer.apply([batch(shard, events[start:end], start)])[shard]
    assert without_shards(state_of(url)) == without_shards(at_once)
    await store.reader.aclose()
    store.writer.close()


def without_shards(state: dict[str, Any]) -> dict[str, Any]:
    """Without the list of the shards, which says when each was last heard of."""
    return {key: value for key, value in state.items() if key != SHARDS.decode()}


@pytest.mark.redis
def test_a_sorted_set_is_bounded_and_its_bound_knows_no_batches(empty_redis: Callable[[str], str]) -> None:
    """Law 9: what is disliked goes first; what is trimmed depends on offsets, so that a rebuild trims alike."""
    events = [
        (1_500 * n, event(f"{n}", f"i{n % 40}", "view" if n % 3 else "rating", 60 * n, value=1.0)) for n in range(60)
    ]
    states = []
    for size in (60, 7, 1):
        url, shard = empty_redis("redis_url"), Shard("events/0")
        writer = RedisCounterWriter(url, RULES, LIMITS, CLOCK)
        for start in range(0, 60, size):
            piece = events[start : start + size]
            from_offset = piece[0][0] if start else 0
            next_offset = events[start + size][0] if start + size < 60 else 90_000
            writer.apply([CounterBatch(shard, from_offset, next_offset, piece)])
        states.append(state_of(url))
        writer.close()
    assert states[0] == states[1] == states[2]
    sizes = [len(held) for key, held in states[0].items() if ":z:" in key]
    assert len(sizes) > 1
    assert max(sizes) <= LIMITS.max_items + 8_192 / 1_500 + 1


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS)
def test_every_key_expires_and_old_ids_go(name: str, empty_redis: Callable[[str], str]) -> None:
    """Law 9."""
    url, shard = empty_redis(name), new_shard()
    writer = RedisCounterWriter(url, RULES, LIMITS, CLOCK)
    writer.fences([shard])
    for number in range(8):
        writer.apply([CounterBatch(shard, 900 * number, 900 * (number + 1), [(900 * number, event(f"{number}"))])])
    keys = list(state_of(url))
    assert len([key for key in keys if ":i:" in key]) == 2
    assert len(keys) == 6
    with client_of(url) as client:
        assert all(client.ttl(key) > 0 for key in keys)


@pytest.mark.redis
def test_ids_of_a_window_that_ends_within_a_batch_expire(empty_redis: Callable[[str], str]) -> None:
    """Law 9: as those of the last one do; also when its key is gone and only the directory knows of it."""
    url, shard = empty_redis("redis_url"), new_shard()
    writer = RedisCounterWriter(url, RULES, LIMITS, CLOCK)
    with client_of(url) as client:
        writer.apply([CounterBatch(shard, 0, 10, [(0, event("first"))])])
        client.delete(shard_prefix(shard) + b"i:0")
        writer.apply([CounterBatch(shard, 10, 3_000, [(n, event(f"{n}")) for n in (900, 1_100, 2_100)])])
        keys = list(state_of(url))
        assert len([key for key in keys if ":i:" in key]) == 2
        assert all(client.ttl(key) > 0 for key in keys)


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS)
async def test_a_server_that_forgot_the_scripts_is_told_them_again(
    name: str, empty_redis: Callable[[str], str]
) -> None:
    url, shard = empty_redis(name), new_shard()
    store = RealStore(url)
    store.writer.apply([batch(shard, [event("1")])])
    with client_of(url) as client:
        client.script_flush()
    assert store.writer.apply([batch(shard, [event("2")], start=1)]) == {shard: 2}
    assert await top(store) == pytest.approx({"book": 2.0}, rel=1e-3)


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS)
async def test_connections_that_were_cut_are_made_again(name: str, empty_redis: Callable[[str], str]) -> None:
    """By a restart, or by something between that drops idle ones; no call fails for it."""
    url, shard = empty_redis(name), new_shard()
    store = RealStore(url)
    store.writer.apply([batch(shard, [event("1")])])
    await top(store)
    with client_of(url) as client:
        nodes = client.get_primaries() if name == "redis_cluster_url" else [None]
        for node in nodes:
            client.client_kill_filter(skipme=True, _type="normal", **({"target_nodes": node} if node else {}))
    assert store.writer.apply([batch(shard, [event("2")], start=1)]) == {shard: 2}
    assert await top(store) == pytest.approx({"book": 2.0}, rel=1e-3)


@pytest.mark.redis
async def test_a_slot_that_moves_to_another_node_is_followed(
    empty_redis: Callable[[str], str], redis_cluster_url: str
) -> None:
    """By the writer and by a reader that both knew where it was."""
    url, shard = empty_redis("redis_cluster_url"), new_shard()
    store = RealStore(url)
    store.writer.fences([shard])
    assert await top(store) == {}
    move_slot(url, directory_key(shard))
    assert store.writer.apply([batch(shard, [event("1")])]) == {shard: 1}
    assert len(await top(store)) == 1


@pytest.mark.redis
@given(first=st.tuples(st.text(), st.text()), second=st.tuples(st.text(), st.text()))
def test_no_two_shards_users_or_surfaces_share_a_key(first: tuple[str, str], second: tuple[str, str]) -> None:
    """Nor do a user and a shard, whatever the user is called."""
    users = [user_keys(UserId(name)) for name, _ in (first, second)]
    assert set(users[0]).isdisjoint(users[1]) == (first[0] != second[0])
    shard = shard_prefix(Shard("events/0"))
    assert not any(key.startswith(shard) for keys in users for key in keys)


async def test_a_store_that_is_gone_is_a_typed_retryable_error() -> None:
    url = "redis://127.0.0.1:1/0"
    with pytest.raises(FeatureStoreDown):
        RedisCounterWriter(url, RULES, LIMITS, CLOCK, timeout_s=0.2).apply([batch(new_shard(), [event("1")])])
    with pytest.raises(FeatureStoreDown):
        await RedisItemCounters(url, timeout_s=0.2).top(CounterKind.POPULAR, 5, NOW_US)
