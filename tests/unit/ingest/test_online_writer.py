"""The online writer's loop over a topic in memory: where it reads on, and that nothing counts twice."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count

import pytest

from services.adapters.redis_store import CounterLimits, HistoryLimits
from services.domain.counters import CounterBatch, CounterKind, CounterRules, shard_of
from services.domain.errors import FeatureStoreDown
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Partition, Record
from services.domain.users import Erasure
from services.ingest import applying
from services.ingest.applying import run_online
from services.ingest.codec import Limits
from services.ingest.erased import ErasureFollower
from services.ingest.online_writer import OnlineWriter
from tests.fakes.clock import FakeClock
from tests.fakes.counters import FakeCounters
from tests.fakes.histories import FakeHistories
from tests.fakes.streams import PARTITION, FakeRecordSource, event_json, records_of
from tests.fakes.user_directory import FakeUserDirectory

SHARD = shard_of(PARTITION)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)  # the time of the fakes' events, so that each counts its weight
NOW_US = int(NOW.timestamp() * 1e6)
ADA = UserId("ada")


class Pipeline:
    """A topic and a store; writers come and go."""

    def __init__(self, num_records: int) -> None:
        self.clock = FakeClock(NOW)
        self.records = records_of([event_json(f"e{n}", itemId=f"i{n}") for n in range(num_records)])
        self.users = FakeUserDirectory()
        self.erasures = self.follower()
        self.empty_the_store()

    def follower(self) -> ErasureFollower:
        return ErasureFollower(lambda: self.users, self.clock)

    def empty_the_store(self) -> None:
        limits = CounterLimits(max_items=100, max_surfaces=2, dedupe_offsets=100, ttl_s=60)
        self.counters = FakeCounters(CounterRules(DEFAULT_EVENT_TYPES, 3_600), limits, self.clock)
        self.histories = FakeHistories(DEFAULT_EVENT_TYPES, HistoryLimits(100, 100, 60))

    def writer(self) -> OnlineWriter:
        limits, types = Limits(10_000, 0), DEFAULT_EVENT_TYPES
        return OnlineWriter(self.histories, self.counters, self.erasures, self.clock, types=types, limits=limits)

    def run(
        self, writer: OnlineWriter | None = None, when_empty: Sequence[Callable[[], object]] = ()
    ) -> FakeRecordSource:
        """Until all is in the store; whenever that is so, and no record is left, the next thing happens first."""
        writer, stop = writer or self.writer(), threading.Event()
        happenings: Iterator[Callable[[], object]] = iter([*when_empty, stop.set])
        source = FakeRecordSource(self.records, writer)
        ends = {shard_of(record.partition): record.offset + 1 for record in self.records}
        turns = count()

        def when_empty_next() -> None:
            assert next(turns) < 10_000, "the store lacks something, and nobody reads it again"
            if self.counters.fences(list(ends)) == ends:
                next(happenings)()

        source.when_empty = when_empty_next
        run_online(source, writer, stop)
        return source

    def lose_everything(self) -> None:
        """As a flush does, under whoever writes."""
        self.counters.shards.clear()
        self.histories.clear()

    def wish(self, until_us: int = NOW_US) -> None:
        """Ada asks to be forgotten, and whoever follows sees it."""
        self.users.request_erasures([Erasure(ADA, until_us)])
        self.erasures.look()

    async def counted(self) -> dict[str, float]:
        return dict(await self.counters.top(CounterKind.POPULAR, 100, NOW_US))

    async def items(self, user_id: UserId = ADA) -> list[str]:
        return [entry.item_id for entry in (await self.histories.read(user_id)).entries]


class Refusing(FakeHistories):
    """Refuses the next calls, as many as it is told."""

    num_refusals = 0

    def apply(self, interactions: Iterable[Interaction]) -> None:
        self._refuse()
        super().apply(interactions)

    def forget(self, wishes: Sequence[Erasure]) -> None:
        self._refuse()
        super().forget(wishes)

    def _refuse(self) -> None:
        if self.num_refusals:
            self.num_refusals -= 1
            raise FeatureStoreDown("down, the test says")


def records_at(offset: int, values: Sequence[bytes]) -> list[Record]:
    return [Record(PARTITION, number, value) for number, value in enumerate(values, offset)]


async def test_every_record_is_applied_once_however_often_the_writer_starts() -> None:
    pipeline = Pipeline(8)
    for _ in range(3):
        assert pipeline.run().committed == {PARTITION: 8}
    assert await pipeline.counted() == pytest.approx({f"i{n}": 1.0 for n in range(8)})
    assert await pipeline.items() == [f"i{n}" for n in range(8)]


async def test_dead_records_move_the_fence_and_count_nothing() -> None:
    pipeline = Pipeline(2)
    pipeline.records = [*pipeline.records, Record(PARTITION, 2, b"{ not json")]
    assert pipeline.run().committed == {PARTITION: 3}
    assert pipeline.counters.fences([SHARD]) == {SHARD: 3}
    assert len(await pipeline.counted()) == 2


async def test_an_emptied_store_is_filled_again_from_the_first_record() -> None:
    pipeline = Pipeline(7)
    pipeline.run()
    pipeline.empty_the_store()
    pipeline.run()
    assert len(await pipeline.counted()) == len(await pipeline.items()) == 7


async def test_a_store_emptied_under_a_running_writer_is_filled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the loop's own look, though no new event comes; histories too."""
    monkeypatch.setattr(applying, "_CHECK_S", 0.0)
    pipeline = Pipeline(9)
    pipeline.run(when_empty=[pipeline.lose_everything])
    assert len(await pipeline.counted()) == len(await pipeline.items()) == 9


async def test_a_fence_that_a_rebuild_set_back_is_read_from_again() -> None:
    pipeline = Pipeline(6)
    writer = pipeline.writer()
    pipeline.run(writer)
    copies = pipeline.counters.staged()
    copies.discard([SHARD])
    copies.apply([CounterBatch(SHARD, 0, 2, [])])
    copies.publish(SHARD)
    assert writer.rewinds() == {PARTITION: 2}
    pipeline.run()
    assert set(await pipeline.counted()) == {"i2", "i3", "i4", "i5"}


async def test_a_crash_between_histories_and_counters_repeats_the_batch() -> None:
    class Crashing(FakeCounters):
        def apply(self, batches: Sequence[object]) -> dict[object, int]:  # type: ignore[override]
            raise KeyboardInterrupt

    pipeline = Pipeline(5)
    whole = pipeline.counters
    pipeline.counters = Crashing(CounterRules(DEFAULT_EVENT_TYPES, 3_600), whole._limits, pipeline.clock)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert await pipeline.items() != []
    pipeline.counters = whole
    pipeline.run()
    assert await pipeline.items() == [f"i{n}" for n in range(5)]
    assert await pipeline.counted() == pytest.approx({f"i{n}": 1.0 for n in range(5)})


async def test_two_writers_of_one_partition_count_each_record_once() -> None:
    """A zombie still applies; whatever it adds lies behind the fence, or is what the owner would have added."""
    pipeline = Pipeline(6)
    zombie, owner = pipeline.writer(), pipeline.writer()
    for writer in (zombie, owner):
        writer.assigned([PARTITION])
        writer.rewinds()
    zombie.apply(pipeline.records[:2])
    owner.apply(pipeline.records[:4])
    zombie.apply(pipeline.records[2:5])
    assert owner.apply(pipeline.records[4:]) == {}
    assert await pipeline.counted() == pytest.approx({f"i{n}": 1.0 for n in range(6)})


async def test_records_of_a_partition_that_went_are_left_to_its_new_owner() -> None:
    pipeline = Pipeline(4)
    writer = pipeline.writer()
    writer.assigned([PARTITION])
    writer.rewinds()
    writer.revoked([PARTITION])
    assert writer.apply(pipeline.records) == {}
    assert writer.rewinds() == {}
    assert await pipeline.items() == []


async def test_a_store_that_is_down_is_waited_for() -> None:
    pipeline = Pipeline(4)
    pipeline.histories = store = Refusing(DEFAULT_EVENT_TYPES, HistoryLimits(100, 100, 60))
    store.num_refusals = 1
    pipeline.run()
    assert len(await pipeline.items()) == len(await pipeline.counted()) == 4


async def test_partitions_count_side_by_side() -> None:
    pipeline = Pipeline(3)
    second = Partition(PARTITION.topic, 1)
    pipeline.records = [*pipeline.records, *records_of([event_json(f"o{n}", itemId="i0") for n in range(3)], second)]
    assert pipeline.run().committed == {PARTITION: 3, second: 3}
    assert (await pipeline.counted())["i0"] == pytest.approx(4.0)


@pytest.mark.parametrize("is_closed", [False, True])
async def test_what_an_erased_user_did_is_passed_over_and_what_they_did_since_is_not(is_closed: bool) -> None:
    """Law 7: read late, or again after a flush. It counts for no item either, and the fence lies behind it."""
    pipeline = Pipeline(3)
    later = event_json("later", itemId="later", eventTime="2026-01-02T03:04:06Z")
    other = event_json("other", itemId="other", userId="bob")
    pipeline.clock.advance(1)
    pipeline.records = [*pipeline.records, *records_at(3, [later, other, event_json("late", itemId="late")])]
    pipeline.wish()
    if is_closed:
        pipeline.users.close_erasures([Erasure(ADA, NOW_US)])
    for _ in range(2):
        assert pipeline.run().committed == {PARTITION: 6}
        assert await pipeline.items() == ["later"]
        assert await pipeline.items(UserId("bob")) == ["other"]
        assert set(await pipeline.counted()) == {"later", "other"}
        assert pipeline.counters.fences([SHARD]) == {SHARD: 6}
        pipeline.lose_everything()
        pipeline.erasures = pipeline.follower()
        pipeline.erasures.look()


async def test_a_wish_of_any_moment_takes_the_user_out_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """After all was read, and then while it is read again from the first record."""
    monkeypatch.setattr(applying, "_CHECK_S", 0.0)
    for when_empty in (["wish"], ["lose_everything", "wish"], ["wish", "lose_everything"]):
        pipeline = Pipeline(7)
        pipeline.run(when_empty=[getattr(pipeline, name) for name in when_empty])
        assert await pipeline.items() == []


async def test_a_wish_during_the_reading_takes_out_what_was_read_before_it() -> None:
    pipeline = Pipeline(7)
    writer = pipeline.writer()
    writer.assigned([PARTITION])
    writer.rewinds()
    writer.apply(pipeline.records[:4])
    pipeline.wish()
    writer.forget_new()
    assert await pipeline.items() == []
    writer.apply(pipeline.records[4:])
    assert await pipeline.items() == []


async def test_who_is_to_be_forgotten_is_so_once_redis_is_back() -> None:
    pipeline = Pipeline(3)
    pipeline.histories = store = Refusing(DEFAULT_EVENT_TYPES, HistoryLimits(100, 100, 60))
    writer = pipeline.writer()
    pipeline.run(writer)
    pipeline.wish()
    store.num_refusals = 1
    with pytest.raises(FeatureStoreDown):
        writer.forget_new()
    assert await pipeline.items() == ["i0", "i1", "i2"]
    writer.forget_new()
    assert await pipeline.items() == []


@pytest.mark.parametrize("seen_by", ["rewinds", "apply"])
async def test_a_restored_redis_forgets_again(seen_by: str) -> None:
    """Its snapshot is older than the wish; that it was restored is seen from the fence, by the look or a new event."""
    pipeline = Pipeline(6)
    writer = pipeline.writer()
    pipeline.histories = store = Refusing(DEFAULT_EVENT_TYPES, HistoryLimits(100, 100, 60))
    writer = pipeline.writer()
    pipeline.records, new = pipeline.records[:5], pipeline.records[5:]
    pipeline.run(writer)
    pipeline.wish()
    writer.forget_new()
    pipeline.lose_everything()
    pipeline.counters.apply([CounterBatch(SHARD, 0, 2, [])])
    FakeHistories.apply(store, [Interaction(EventId("e0"), ADA, ItemId("i0"), "view", NOW_US)])
    if seen_by == "apply":
        assert writer.apply(new) == {PARTITION: 2}
        writer.forget_new()
    else:
        store.num_refusals = 1
        with pytest.raises(FeatureStoreDown):
            writer.rewinds()
        assert writer.rewinds() == {PARTITION: 2}
    assert await pipeline.items() == []
