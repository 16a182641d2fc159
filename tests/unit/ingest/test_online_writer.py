"""The online writer's loop over a topic in memory: where it reads on, and that nothing counts twice."""

import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import pytest

from services.adapters.redis_store import CounterLimits, HistoryLimits
from services.domain.counters import CounterBatch, CounterKind, CounterRules, shard_of
from services.domain.errors import FeatureStoreDown
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.streams import Partition, Record
from services.ingest.applying import run_online
from services.ingest.codec import Limits
from services.ingest.online_writer import OnlineWriter
from tests.fakes.clock import FakeClock
from tests.fakes.counters import FakeCounters
from tests.fakes.histories import FakeHistories
from tests.fakes.streams import PARTITION, FakeRecordSource, event_json, records_of

SHARD = shard_of(PARTITION)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)  # the time of the fakes' events, so that each counts its weight


class Pipeline:
    """A topic and a store; writers come and go."""

    def __init__(self, num_records: int) -> None:
        self.clock = FakeClock(NOW)
        self.records = records_of([event_json(f"e{n}", itemId=f"i{n}") for n in range(num_records)])
        self.empty_the_store()

    def empty_the_store(self) -> None:
        limits = CounterLimits(max_items=100, max_surfaces=2, dedupe_offsets=100, ttl_s=60)
        self.counters = FakeCounters(CounterRules(DEFAULT_EVENT_TYPES, 3_600), limits, self.clock)
        self.histories = FakeHistories(DEFAULT_EVENT_TYPES, HistoryLimits(100, 100, 60))

    def writer(self) -> OnlineWriter:
        return OnlineWriter(
            self.histories, self.counters, self.clock, types=DEFAULT_EVENT_TYPES, limits=Limits(10_000, 0)
        )

    def run(self, writer: OnlineWriter | None = None) -> FakeRecordSource:
        """Until all is read and nothing is left to be read again."""
        writer, stop = writer or self.writer(), threading.Event()
        source = FakeRecordSource(self.records, writer)
        source.when_empty = lambda: None if writer.rewinds() else stop.set()
        run_online(source, writer, stop)
        return source

    async def counted(self) -> dict[str, float]:
        return dict(await self.counters.top(CounterKind.POPULAR, 100, int(NOW.timestamp() * 1e6)))

    async def items(self) -> list[str]:
        return [entry.item_id for entry in (await self.histories.read(UserId("ada"))).entries]


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


async def test_a_store_emptied_under_a_running_writer_is_filled_again() -> None:
    """The writer learns it from the next batch, or from its look once a second."""
    pipeline, writer, stop = Pipeline(9), None, threading.Event()
    writer = pipeline.writer()
    source = FakeRecordSource(pipeline.records, writer)
    emptied = iter([pipeline.counters.shards.clear])

    def when_empty() -> None:
        next(emptied, lambda: None)()
        if not (found := writer.rewinds()):
            stop.set()
        source.seek(found)

    source.when_empty = when_empty
    run_online(source, writer, stop)
    assert len(await pipeline.counted()) == 9


async def test_a_fence_that_a_rebuild_set_back_is_read_from_again() -> None:
    pipeline = Pipeline(6)
    writer = pipeline.writer()
    pipeline.run(writer)
    copies = pipeline.counters.staged()
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
    class Refusing(FakeHistories):
        num_refusals = 1

        def apply(self, interactions: Iterable[Interaction]) -> None:
            if self.num_refusals:
                self.num_refusals -= 1
                raise FeatureStoreDown("down, the test says")
            super().apply(interactions)

    pipeline = Pipeline(4)
    pipeline.histories = Refusing(DEFAULT_EVENT_TYPES, HistoryLimits(100, 100, 60))
    pipeline.run()
    assert len(await pipeline.items()) == len(await pipeline.counted()) == 4


async def test_partitions_count_side_by_side() -> None:
    pipeline = Pipeline(3)
    second = Partition(PARTITION.topic, 1)
    pipeline.records = [*pipeline.records, *records_of([event_json(f"o{n}", itemId="i0") for n in range(3)], second)]
    assert pipeline.run().committed == {PARTITION: 3, second: 3}
    assert (await pipeline.counted())["i0"] == pytest.approx(4.0)
