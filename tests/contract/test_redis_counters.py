"""The counters in Redis: the same to the last bit however records were cut, bounded, and with keys of their own."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from services.adapters.redis_store import RedisCounterWriter
from services.adapters.redis_store.keys import SHARDS, directory_key, shard_prefix, user_keys
from services.domain.counters import CounterBatch, CounterKind, Shard, shard_of
from services.domain.ids import ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Partition
from tests.counter_stores import CLOCK, HOUR_S, LIMITS, RULES, FakeStore, RealStore, batch, event, new_shard, top
from tests.redis_cluster import move_slot
from tests.redis_state import client_of, state_of

REDIS = ("redis_url", "redis_cluster_url")
CHOICES: tuple[dict[str, Any], ...] = ({}, {"surface": "s1"}, {"among": [ItemId("i1")]})

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
        states.append(without_shards(state_of(url)))
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


topics = st.from_regex(r"[a-zA-Z0-9._-]{1,9}", fullmatch=True)  # what Kafka lets a topic be called


names = st.text(st.sampled_from("{}%257D:a"), max_size=4) | st.text()  # what a hash tag and its escapes are made of


@given(first=st.tuples(names, topics), second=st.tuples(names, topics))
@example(first=("}", "events"), second=("%7D", "events"))
def test_no_two_users_or_shards_share_a_key(first: tuple[str, str], second: tuple[str, str]) -> None:
    """Nor do a user and a shard, or a shard and its copy, whatever they are called."""
    users = [set(user_keys(UserId(name))) for name, _ in (first, second)]
    assert users[0].isdisjoint(users[1]) == (first[0] != second[0])
    prefixes = {
        (topic, staged): shard_prefix(shard_of(Partition(topic, 0)), staged=staged)
        for topic in (first[1], second[1])
        for staged in (False, True)
    }
    # Neither begins with another: whatever follows, such as a surface, cannot make two of their keys one.
    owners = [*prefixes.values(), *{key for keys in users for key in keys}]
    assert not any(other.startswith(owner) for owner in owners for other in owners if other is not owner)


@pytest.mark.redis
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(surfaces=st.lists(names.filter(bool), min_size=2, max_size=2, unique=True))
async def test_no_two_surfaces_are_taken_for_one(empty_redis: Callable[[str], str], surfaces: list[str]) -> None:
    """Whatever they are called; the script makes their keys, and the reader finds them by their names."""
    store = RealStore(empty_redis("redis_url"))
    store.writer.apply([batch(new_shard(), [event(f"{n}", f"i{n}", surface=name) for n, name in enumerate(surfaces)])])
    for number, name in enumerate(surfaces):
        assert set(await top(store, surface=name)) == {f"i{number}"}
    await store.reader.aclose()
    store.writer.close()
    store.rebuilder.close()
