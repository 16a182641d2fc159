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

from services.adapters.redis_store import (
    HistoryLimits,
    RedisHistoryReader,
    RedisHistoryWriter,
    RedisStore,
    RedisUserLister,
)
from services.adapters.redis_store.forgetting import RedisForgetter
from services.adapters.redis_store.keys import user_keys
from services.adapters.redis_store.looking import num_held
from services.domain.errors import FeatureStoreDown
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction, UserHistory
from services.domain.ports import HistoryReader, HistoryWriter, UserLister
from services.domain.users import Erasure
from tests.fakes.histories import FakeHistories
from tests.redis_state import client_of, state_of

REDIS = ("redis_url", "redis_cluster_url")
MAX_HISTORY, MAX_CONSUMED, MAX_SHOWN = 5, 3, 4
LIMITS = HistoryLimits(MAX_HISTORY, MAX_CONSUMED, ttl_s=60, max_shown=MAX_SHOWN)


class Store(Protocol):
    """A writer, a reader and a lister of one store."""

    @property
    def writer(self) -> HistoryWriter: ...

    @property
    def reader(self) -> HistoryReader: ...

    @property
    def lister(self) -> UserLister: ...


class RealStore:
    def __init__(self, url: str) -> None:
        self.writer = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, LIMITS)
        self.reader = RedisHistoryReader(RedisStore(url, timeout_s=5))
        self.lister = RedisUserLister(url)


class FakeStore:
    def __init__(self) -> None:
        self.writer = self.reader = self.lister = FakeHistories(DEFAULT_EVENT_TYPES, LIMITS)


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.redis) for name in REDIS)])
def open_store(request: pytest.FixtureRequest) -> Callable[[], Store]:
    if request.param == "fake":
        return FakeStore
    url = request.getfixturevalue(request.param)
    return lambda: RealStore(url)


def new_user(name: str = "") -> UserId:
    return UserId(f"{name}{uuid.uuid4()}")


def event(user: UserId, name: str, time_us: int, item: str = "book", kind: str = "view") -> Interaction:
    return Interaction(EventId(name), user, ItemId(item), kind, time_us, 4.5 if kind == "rating" else None)


async def test_an_unknown_user_has_an_empty_history(open_store: Callable[[], Store]) -> None:
    assert await open_store().reader.read(new_user()) == UserHistory()


async def test_every_user_with_a_history_is_listed_once(open_store: Callable[[], Store]) -> None:
    """More than one step's worth, whatever they are called; not those who were only shown something, or are erased."""
    store, prefix = open_store(), uuid.uuid4().hex
    users = {UserId(f"{prefix}{number}}}%7D{{ü:h") for number in range(2_500)}
    store.writer.apply([event(user, "e", 100) for user in users])
    store.writer.apply([event(UserId(f"{prefix}shown"), "e", 100, kind="impression")])
    gone = set(sorted(users)[:7])
    store.writer.forget([Erasure(user, 1_000) for user in gone])
    listed = [user for some in store.lister.users() for user in some if user.startswith(prefix)]
    assert sorted(listed) == sorted(users - gone)


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


@pytest.mark.redis
@pytest.mark.parametrize("name", ["}x", "{", "{}", "%7D", "a}b{c"])
async def test_a_users_keys_share_a_slot_whatever_the_user_is_called(redis_cluster_url: str, name: str) -> None:
    """Else no script could touch them together, and no transaction read them."""
    store, user = RealStore(redis_cluster_url), new_user(name)
    store.writer.apply([event(user, kind, 1, "book", kind) for kind in ("purchase", "impression")])
    assert (await store.reader.read(user)).consumed == {"book"}
    assert await store.reader.read_shown(user) == {"book": 1}
    with client_of(redis_cluster_url) as client:
        assert {client.exists(key) for key in user_keys(user)} == {1}
        assert len({client.keyslot(key) for key in user_keys(user)}) == 1


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


async def test_what_was_shown_keeps_the_newest_and_leaves_the_version_alone(open_store: Callable[[], Store]) -> None:
    """The version is in the key of a cached answer, and being shown something is not an act."""
    store, user = open_store(), new_user()
    shown = [event(user, f"s{n}", n, f"i{n}", "impression") for n in range(1, 6)]
    store.writer.apply(shown)
    assert await store.reader.read(user) == UserHistory()
    store.writer.apply([event(user, "e", 3, "book")])
    before = await store.reader.read(user)
    store.writer.apply([event(user, "again", 9, "i3", "impression"), *shown])
    assert await store.reader.read_shown(user) == {"i2": 2, "i4": 4, "i5": 5, "i3": 9}
    assert await store.reader.read(user) == before


async def test_a_forgotten_user_is_unknown_and_the_others_are_not(open_store: Callable[[], Store]) -> None:
    store, gone, stays = open_store(), new_user(), new_user()
    for kind in ("view", "rating", "impression"):
        store.writer.apply([event(user, kind, 1, "book", kind) for user in (gone, stays)])
    store.writer.forget([Erasure(gone, 1), Erasure(new_user(), 1)])
    assert await store.reader.read(gone) == UserHistory()
    assert await store.reader.read_shown(gone) == {}
    assert len((await store.reader.read(stays)).entries) == 2


async def test_what_a_returned_user_did_since_outlives_the_wish_told_again(open_store: Callable[[], Store]) -> None:
    """A tombstone is read again when its offset was lost; the version is that of a user who did only the rest."""
    store, returned, new = open_store(), new_user(), new_user()
    kinds = ("view", "rating", "impression")
    store.writer.apply([event(returned, f"{kind}-{n}", n, f"i{n}", kind) for kind in kinds for n in (1, 2)])
    since = [(f"{kind}-{n}", n, f"i{n}", kind) for kind in kinds for n in (2, 3)]
    for user in (returned, new):
        store.writer.apply([event(user, *each) for each in since])
    wish = Erasure(returned, 1)
    for _ in range(2):
        store.writer.forget([wish])
        history = await store.reader.read(returned)
        assert history == await store.reader.read(new)
        assert history.consumed == {"i2", "i3"}
        assert await store.reader.read_shown(returned) == {"i2": 2, "i3": 3}
    later = [event(user, "later", 9, "i1") for user in (returned, new)]
    store.writer.apply(later)
    assert await store.reader.read(returned) == await store.reader.read(new)


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS)
def test_forgetting_leaves_no_empty_key_and_no_key_that_stays_for_ever(
    name: str, request: pytest.FixtureRequest
) -> None:
    url, user = request.getfixturevalue(name), new_user()
    writer = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, LIMITS)
    writer.apply([event(user, kind, n, "book", kind) for n, kind in ((1, "impression"), (2, "view"), (3, "rating"))])
    for until_us, left in ((1, 3), (2, 3), (3, 0)):  # what was shown goes first; then a member of the history
        writer.forget([Erasure(user, until_us)])
        keys = list(state_of(url, f"nj:{{{user}}}:*"))
        assert len(keys) == left
        with client_of(url) as client:
            assert all(0 < client.ttl(key) <= LIMITS.ttl_s for key in keys)
    writer.close()


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS)
def test_housekeeping_forgets_as_the_writer_does_and_an_operator_can_look(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Law 7: a command tells what is left of before a wish, whichever kind of key holds it."""
    url, user = request.getfixturevalue(name), new_user()
    writer, forgetter = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, LIMITS), RedisForgetter(url)
    writer.apply([event(user, kind, n, "book", kind) for n, kind in ((1, "impression"), (2, "view"), (4, "rating"))])
    assert [num_held(url, Erasure(user, until_us)) for until_us in (0, 1, 2, 4, 2**53)] == [0, 1, 2, 4, 4]
    forgetter.forget([Erasure(user, 2), Erasure(new_user(), 2)])
    assert [num_held(url, Erasure(user, until_us)) for until_us in (2, 4)] == [0, 2]
    writer.close()
    forgetter.close()


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
    after = await store.reader.read(user)
    assert after.version != before.version
    assert await store.reader.read_version(user) == after.version


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
    reference = FakeHistories(DEFAULT_EVENT_TYPES, LIMITS)
    reference.apply(events)
    expected, expected_shown = await reference.read(UserId("u")), await reference.read_shown(UserId("u"))
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
        assert await store.reader.read_shown(user) == expected_shown
        versions.add(history.version)
        await store.reader.aclose()
        store.writer.close()
    assert len(versions) == 1
    assert (versions == {""}) == (expected.version == "")


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS)
def test_everything_of_a_user_expires(name: str, request: pytest.FixtureRequest) -> None:
    """Law 9; the keys are found by their hash tag, so a class of keys added later is asked too."""
    url, user = request.getfixturevalue(name), new_user()
    writer = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, LIMITS)
    writer.apply([event(user, kind, 1, "book", kind) for kind in ("rating", "impression")])
    keys = list(state_of(url, f"nj:{{{user}}}:*"))
    assert len(keys) == 4
    with client_of(url) as client:
        assert all(0 < client.ttl(key) <= LIMITS.ttl_s for key in keys)


@pytest.mark.redis
@pytest.mark.parametrize("name", REDIS)
async def test_a_burst_of_reads_degrades_nobody(name: str, request: pytest.FixtureRequest) -> None:
    reader = RedisHistoryReader(RedisStore(request.getfixturevalue(name), timeout_s=5))
    histories = await asyncio.gather(*(reader.read(new_user()) for _ in range(500)))
    assert histories == [UserHistory()] * 500
    await reader.aclose()


async def test_a_store_that_says_nothing_costs_its_timeout_once() -> None:
    """Law 6: past the setting's seconds the reply is degraded, not after twice as many."""
    silent = socket.create_server(("127.0.0.1", 0))
    reader = RedisHistoryReader(RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout_s=1.0))
    start = time.monotonic()
    with pytest.raises(FeatureStoreDown):
        await reader.read(UserId("ada"))
    assert time.monotonic() - start < 1.9
    silent.close()


async def test_a_store_that_is_gone_is_a_typed_retryable_error() -> None:
    url = "redis://127.0.0.1:1/0"
    with pytest.raises(FeatureStoreDown):
        await RedisHistoryReader(RedisStore(url, timeout_s=0.2)).read(UserId("ada"))
    writer = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, HistoryLimits(5, 5, 60), timeout_s=0.2)
    with pytest.raises(FeatureStoreDown):
        writer.apply([event(UserId("ada"), "1", 1)])
