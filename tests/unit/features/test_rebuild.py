"""A rebuild against stores in memory: whole, caught up, and alone."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import UTC, datetime

import pytest

from services.adapters.redis_store import CounterLimits, HistoryLimits
from services.domain.counters import IMPORTED, CounterKind, CounterRules, shard_of
from services.domain.errors import RebuildConflict
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Counts, LogBatch, Partition, Progress
from services.domain.users import Erasure
from services.features import rebuild
from services.features.rebuild import Rebuild
from tests.fakes.clock import FakeClock
from tests.fakes.counters import FakeCounters
from tests.fakes.events_by_offset import FakeEventsByOffset
from tests.fakes.histories import FakeHistories
from tests.fakes.user_directory import FakeUserDirectory

FIRST, SECOND = Partition("events", 0), Partition("events", 1)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)
TTL_US = 60_000_000


class Stores:
    def __init__(self) -> None:
        self.log = FakeEventsByOffset()
        self.histories = FakeHistories(DEFAULT_EVENT_TYPES, HistoryLimits(100, 100, 60))
        self.counters = FakeCounters(
            CounterRules(DEFAULT_EVENT_TYPES, 3_600), CounterLimits(100, 2, 1_000, 60), FakeClock(NOW)
        )
        self.users = FakeUserDirectory()
        self.reported: list[int] = []

    def append(self, *offsets: int, partition: Partition = FIRST, next_offset: int = 0) -> None:
        sources = [(partition, offsets)]
        progress = {partition: Progress(next_offset or offsets[-1] + 1, Counts())}
        self.log.append(LogBatch([event(f"{partition.number}-{offset}") for offset in offsets], progress, sources))

    def rebuild(self, report: Callable[[int], None] | None = None) -> rebuild.Rebuilt:
        copies = self.counters.staged()
        report = report or self.reported.append
        return Rebuild(self.log, self.histories, copies, "events", self.users, NOW_US - TTL_US, report).run()

    async def counted(self) -> Mapping[str, float]:
        return {item: round(total, 6) for item, total in await self.counters.top(CounterKind.POPULAR, 100, NOW_US)}

    async def items(self, user: str = "ada") -> set[str]:
        return {entry.item_id for entry in (await self.histories.read(UserId(user))).entries}


def event(name: str, user: str = "ada", time_us: int = NOW_US) -> Interaction:
    return Interaction(EventId(name), UserId(user), ItemId(f"i{name}"), "view", time_us)


async def test_an_empty_log_makes_an_empty_store() -> None:
    stores = Stores()
    assert stores.rebuild().num_events == 0
    assert await stores.counted() == {}


async def test_partitions_and_imported_events_are_counted_and_fenced() -> None:
    """What follows the last event of a partition was dead or a duplicate: the fence lies behind it."""
    stores = Stores()
    stores.append(0, 1, 2)
    stores.append(4, 9, partition=SECOND, next_offset=12)
    stores.log.append(LogBatch([event("imported")]))
    rebuilt = stores.rebuild()
    assert (rebuilt.num_events, rebuilt.num_imported, rebuilt.first_version) == (6, 1, 2)
    assert rebuilt.fences == {FIRST: 3, SECOND: 12}
    assert stores.counters.fences([shard_of(FIRST), shard_of(SECOND), IMPORTED]) == {
        shard_of(FIRST): 3,
        shard_of(SECOND): 12,
        IMPORTED: 1,
    }
    expected = {"i0-0", "i0-1", "i0-2", "i1-4", "i1-9", "iimported"}
    assert await stores.counted() == dict.fromkeys(expected, 1.0)
    assert await stores.items() == expected
    assert stores.reported[-1] == 6


async def test_a_rebuild_may_be_repeated() -> None:
    stores = Stores()
    stores.append(0, 1)
    stores.log.append(LogBatch([event("imported")]))
    stores.rebuild()
    before = deepcopy(stores.counters.shards)
    stores.rebuild()
    assert stores.counters.shards == before
    assert len(await stores.counted()) == 3


async def test_what_the_log_got_meanwhile_is_read_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a partition that the pinned version did not know."""
    monkeypatch.setattr(rebuild, "_FEW_EVENTS", 1)
    stores = Stores()
    stores.append(0, 1)

    def report(num_events: int) -> None:
        if num_events == 2:
            stores.append(2, 3)
        if num_events == 4:
            stores.append(0, 1, partition=SECOND)

    rebuilt = stores.rebuild(report)
    assert (rebuilt.first_version, rebuilt.last_version) == (0, 2)
    assert rebuilt.fences == {FIRST: 4, SECOND: 2}
    assert len(await stores.counted()) == 6


async def test_a_few_late_events_are_left_to_the_online_writer() -> None:
    stores = Stores()
    stores.append(0, 1)

    def report(num_events: int) -> None:
        if num_events == 2:
            stores.append(2)

    assert stores.rebuild(report).fences == {FIRST: 2}


@pytest.mark.parametrize("is_closed", [False, True])
async def test_what_is_to_be_forgotten_is_not_brought_back(is_closed: bool) -> None:
    """The log holds it until housekeeping is through, or again, when it came late; the fences are as with it."""
    stores = Stores()
    events = [event("before"), event("after", time_us=NOW_US + 1), event("of another", user="bob"), event("last")]
    sources = [(FIRST, range(4))]
    stores.log.append(LogBatch(events, {FIRST: Progress(6, Counts())}, sources))
    stores.log.append(LogBatch([event("imported")]))
    stores.users.request_erasures([Erasure(UserId("ada"), NOW_US)])
    if is_closed:
        stores.users.close_erasures([Erasure(UserId("ada"), NOW_US)])
    assert stores.rebuild().fences == {FIRST: 6}
    assert await stores.items() == {"iafter"}
    assert set(await stores.counted()) == {"iafter", "iof another"}


async def test_who_asks_to_be_forgotten_meanwhile_is_not_brought_back() -> None:
    stores = Stores()
    stores.append(0)
    later = event("later", time_us=NOW_US + 1)
    stores.log.append(LogBatch([later], {FIRST: Progress(2, Counts())}, [(FIRST, [1])]))

    def report(_: int) -> None:
        stores.users.request_erasures([Erasure(UserId("ada"), NOW_US)])

    stores.rebuild(report)
    assert await stores.items() == {"ilater"}


async def test_users_whose_last_event_is_older_than_histories_are_kept_stay_unknown() -> None:
    """Who came back is known with all they ever did, and who comes while the log is read with what they do then."""
    stores = Stores()
    old = NOW_US - TTL_US - 1
    events = [
        event("gone", "gone", old),
        event("before", "back", old),
        event("since", "back"),
        event("away", "ada", old),
    ]
    stores.log.append(LogBatch(events, {FIRST: Progress(4, Counts())}, [(FIRST, range(4))]))
    stores.log.append(LogBatch([event("imported", "gone", old)]))

    def report(num_events: int) -> None:
        if num_events == 5:
            stores.append(4)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rebuild, "_FEW_EVENTS", 1)
        stores.rebuild(report)
    assert await stores.items("gone") == set()
    assert await stores.items("back") == {"ibefore", "isince"}
    assert await stores.items() == {"i0-4"}
    assert stores.counters.fences([shard_of(FIRST), IMPORTED]) == {shard_of(FIRST): 5, IMPORTED: 1}


async def test_nobody_reads_a_rebuild_that_is_not_done() -> None:
    stores = Stores()
    stores.append(0, 1)

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stores.rebuild(fail)
    assert await stores.counted() == {}
    stores.rebuild()
    assert len(await stores.counted()) == 2


def test_of_two_rebuilds_at_once_one_says_so() -> None:
    stores = Stores()
    stores.append(0, 1, 2, 3)

    def interrupt(num_events: int) -> None:
        if num_events == 2:
            stores.rebuild()

    with pytest.raises(RebuildConflict, match="wait for it"):
        stores.rebuild(interrupt)


@pytest.mark.parametrize("is_cut_off", [False, True])
async def test_a_rebuild_never_publishes_what_another_has_begun_anew(is_cut_off: bool) -> None:
    """It has read all, and another begins before its first copy is published: the live counters stay whole."""
    stores = Stores()
    stores.append(0, 1, 2, 3)
    stores.rebuild()

    def fail(_: int) -> None:
        raise KeyboardInterrupt

    def interrupt(num_events: int) -> None:
        if num_events == 4 and is_cut_off:
            with pytest.raises(KeyboardInterrupt):
                stores.rebuild(fail)
        elif num_events == 4:
            stores.rebuild()

    with pytest.raises(RebuildConflict):
        stores.rebuild(interrupt)
    assert len(await stores.counted()) == 4
    assert stores.counters.fences([shard_of(FIRST)]) == {shard_of(FIRST): 4}
    stores.rebuild()
