"""The HistoryWriter and HistoryReader ports: any order and repetition of events gives one state."""

import asyncio
import socket
import time
import uuid
from collections.abc import Callable
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.adapters.redis_store import HistoryLimits, RedisHistoryReader, RedisHistoryWriter
from services.domain.errors import FeatureStoreDown
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction, UserHistory
from services.domain.ports import HistoryReader, HistoryWriter
from tests.fakes.histories import FakeHistories

MAX_HISTORY, MAX_CONSUMED = 5, 3


class Store(Protocol):
    """A writer and a reader of one store."""

    @property
    def writer(self) -> HistoryWriter: ...

    @property
    def reader(self) -> HistoryReader: ...


class RealStore:
    def __init__(self, url: str) -> None:
        self.writer = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, HistoryLimits(MAX_HISTORY, MAX_CONSUMED, 60))
        self.reader = RedisHistoryReader(url, timeout_s=5)


class FakeStore:
    def __init__(self) -> None:
        self.writer = self.reader = FakeHistories(DEFAULT_EVENT_TYPES, MAX_HISTORY, MAX_CONSUMED)


@pytest.fixture(params=["fake", pytest.param("redis", marks=pytest.mark.redis)])
def open_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    if request.param == "fake":
        return FakeStore
    url = request.getfixturevalue("redis_url")
    return lambda: RealStore(url)


def new_user(name: str = "") -> UserId:
    return UserId(f"{name}{uuid.uuid4()}")


def event(user: UserId, name: str, time_us: int, item: str = "book", kind: str = "view") -> Interaction:
    return Interaction(EventId(name), user, ItemId(item), kind, time_us, 4.5 if kind == "rating" else None)


async def test_an_unknown_user_has_an_empty_history(open_store: Callable[[], Store]) -> None:
    assert await open_store().reader.read(new_user()) == UserHistory()


async def test_the_history_holds_the_newest_events_oldest_first(open_store: Callable[[], Store]) -> None:
    store, user = open_store(), new_user()
    store.writer.apply([event(user, f"e{n}", 100 - n, f"i{n}") for n in range(8)])
    history = await store.reader.read(user)
    assert [entry.item_id for entry in history.entries] == ["i4", "i3", "i2", "i1", "i0"]
    assert [entry.event_time_us for entry in history.entries] == [96, 97, 98, 99, 100]


async def test_an_entry_comes_back_as_it_went_in(open_store: Callable[[], Store]) -> None:
    store, user = open_store(), new_user("ü}%{ ")
    store.writer.apply([event(user, "e:1", 1_700_000_000_123_456, "{Straße} 1", "rating")])
    (entry,) = (await store.reader.read(user)).entries
    assert (entry.event_id, entry.item_id, entry.event_type) == ("e:1", "{Straße} 1", "rating")
    assert (entry.event_time_us, entry.value) == (1_700_000_000_123_456, 4.5)


async def test_impressions_are_no_history_and_only_consuming_types_consume(open_store: Callable[[], Store]) -> None:
    store, user = open_store(), new_user()
    store.writer.apply(
        [
            event(user, "1", 1, "seen", "impression"),
            event(user, "2", 2, "viewed", "view"),
            event(user, "3", 3, "bought", "purchase"),
            event(user, "4", 4, "hated", "dislike"),
        ]
    )
    history = await store.reader.read(user)
    assert [entry.item_id for entry in history.entries] == ["viewed", "bought", "hated"]
    assert history.consumed == {"bought", "hated"}


async def test_consumed_items_keep_the_newest(open_store: Callable[[], Store]) -> None:
    store, user = open_store(), new_user()
    store.writer.apply([event(user, str(n), n, f"i{n}", "purchase") for n in range(1, 5)])
    store.writer.apply([event(user, "again", 9, "i2", "purchase")])
    assert (await store.reader.read(user)).consumed == {"i2", "i3", "i4"}


async def test_the_version_changes_exactly_when_the_history_does(open_store: Callable[[], Store]) -> None:
    store, user = open_store(), new_user()
    store.writer.apply([event(user, f"e{n}", 10 + n) for n in range(MAX_HISTORY)])
    before = await store.reader.read(user)
    store.writer.apply([event(user, "e0", 10), event(user, "too old to be kept", 1)])
    assert await store.reader.read(user) == before
    store.writer.apply([event(user, "new", 99)])
    assert (await store.reader.read(user)).version != before.version


async def test_users_do_not_touch_each_other(open_store: Callable[[], Store]) -> None:
    store, first = open_store(), new_user()
    second = UserId(first + "}")
    store.writer.apply([event(first, "1", 1, "a"), event(second, "2", 2, "b")])
    assert [entry.item_id for entry in (await store.reader.read(first)).entries] == ["a"]
    assert [entry.item_id for entry in (await store.reader.read(second)).entries] == ["b"]


events = st.lists(
    st.tuples(
        st.integers(0, 9),  # event number: also its time, so that ties and repetitions occur
        st.integers(0, 4),
        st.sampled_from(["view", "rating", "dislike", "impression"]),
    ),
    max_size=25,
).map(lambda drawn: [event(UserId("u"), f"e{n}-{i}-{kind}", n // 2, f"i{i}", kind) for n, i, kind in drawn])


@pytest.mark.redis
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=events, data=st.data())
async def test_any_order_and_repetition_gives_one_state(
    redis_url: str, events: list[Interaction], data: st.DataObject
) -> None:
    """The Redis script agrees with the plain statement, however the same events are shuffled, repeated and batched."""
    reference = FakeHistories(DEFAULT_EVENT_TYPES, MAX_HISTORY, MAX_CONSUMED)
    reference.apply(events)
    expected = await reference.read(UserId("u"))
    versions = set()
    for order in (events, data.draw(st.permutations(events)) + events[:3]):
        store, user = RealStore(redis_url), new_user()
        renamed = [event(user, each.event_id, each.event_time_us, each.item_id, each.event_type) for each in order]
        cut = data.draw(st.integers(0, len(renamed)))
        store.writer.apply(renamed[:cut])
        store.writer.apply(renamed[cut:])
        history = await store.reader.read(user)
        assert history.entries == expected.entries
        assert history.consumed == expected.consumed
        versions.add(history.version)
        await store.reader.aclose()
        store.writer.close()
    assert len(versions) == 1
    assert (versions == {""}) == (expected.version == "")


@pytest.mark.redis
async def test_a_burst_of_reads_waits_for_connections_and_degrades_nobody(redis_url: str) -> None:
    reader = RedisHistoryReader(redis_url, timeout_s=5)
    histories = await asyncio.gather(*(reader.read(new_user()) for _ in range(500)))
    assert histories == [UserHistory()] * 500
    await reader.aclose()


async def test_a_store_that_says_nothing_costs_its_timeout_once() -> None:
    """Law 6: past the setting's seconds the reply is degraded, not after twice as many."""
    silent = socket.create_server(("127.0.0.1", 0))
    reader = RedisHistoryReader(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=1.0)
    start = time.monotonic()
    with pytest.raises(FeatureStoreDown):
        await reader.read(UserId("ada"))
    assert time.monotonic() - start < 1.9
    silent.close()


async def test_a_store_that_is_gone_is_a_typed_retryable_error() -> None:
    url = "redis://127.0.0.1:1/0"
    with pytest.raises(FeatureStoreDown):
        await RedisHistoryReader(url, timeout_s=0.2).read(UserId("ada"))
    writer = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, HistoryLimits(5, 5, 60), timeout_s=0.2)
    with pytest.raises(FeatureStoreDown):
        writer.apply([event(UserId("ada"), "1", 1)])
