"""An item's record to every worker's answers: real Kafka, catalog writer, database and Redis, two real workers."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from nightjar import EventProducer, Item
from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.pipeline import Pipeline
from tests.integration.serving_process import Serving, start, write_events
from tests.waiting import wait_until

log = logging.getLogger(__name__)  # figures with `pytest --log-cli-level=info`

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

NUM_CHANNELS = 8  # connections of their own, so that the kernel spreads them over both workers
NUM_ITEMS = 6
HIDDEN = "item-1"  # the most popular one, and the user's own best
WITHIN_S = 1.0  # as promised; 0.05 to 0.2 s on a busy machine with two cores


@pytest.fixture
def serving(tmp_path: Path, redis_url: str) -> Iterator[Serving]:
    serving = start(tmp_path / "home", redis_url)
    serving.publish(tmp_path / "drafts", "v1", item_vectors(1, NUM_ITEMS))
    serving.promote("v1")
    wait_until(lambda: serves(serving), what="both workers serve v1")
    yield serving
    serving.process.terminate()
    serving.process.wait(timeout=30)


def serves(serving: Serving) -> bool:
    try:
        return serving.versions() == {"v1"}
    except grpc.RpcError:
        return False


@dataclass
class Seen:
    """One answer: which question, when it was asked and answered (time.time), and what it held."""

    question: str
    asked_s: float
    answered_s: float
    item_ids: tuple[str, ...]
    catalog_version: str
    cache_hit: bool


@dataclass
class Watchers:
    """Ask every question on every connection, over and over, until told to stop."""

    address: str
    user_id: str
    answers: list[Seen] = field(default_factory=list)
    latest: dict[tuple[int, str], Seen] = field(default_factory=dict)
    stopping: bool = False

    async def watch(self, channel_number: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self.address, options=options) as channel:
            stub = RecommenderServiceStub(channel)
            questions: dict[str, Callable[[], grpc.aio.UnaryUnaryCall]] = {  # type: ignore[type-arg]
                "personal": lambda: stub.Recommend(wire.RecommendRequest(user_id=self.user_id), timeout=20),
                "popular": lambda: stub.Recommend(wire.RecommendRequest(user_id="nobody"), timeout=20),
                "similar": lambda: stub.SimilarItems(wire.SimilarItemsRequest(item_id="item-2"), timeout=20),
            }
            while not self.stopping:
                for question, ask in questions.items():
                    asked_s = time.time()
                    reply = await ask()
                    item_ids = tuple(item.item_id for item in reply.items)
                    cache_hit = getattr(reply, "cache_hit", False)
                    seen = Seen(question, asked_s, time.time(), item_ids, reply.catalog_version, cache_hit)
                    self.answers.append(seen)
                    self.latest[channel_number, question] = seen

    async def all_show(self, shown: bool) -> None:
        """Returns when every question on every connection is answered with the item, or without it."""
        self.latest.clear()

        def all_do() -> bool:
            shows = [HIDDEN in seen.item_ids for seen in list(self.latest.values())]
            return shows == [shown] * (3 * NUM_CHANNELS)

        await asyncio.to_thread(wait_until, all_do, 30, f"every connection answers {'with' if shown else 'without'} it")

    def last_asked_s(self, shown: bool) -> float:
        """When the last call was asked that was answered so."""
        return max(seen.asked_s for seen in self.answers if (HIDDEN in seen.item_ids) == shown)


async def test_a_hidden_item_is_out_of_every_workers_answers_within_a_second(
    serving: Serving,
    kafka_servers: str,
    redis_url: str,
) -> None:
    """Hidden, shown again, and behind a window that opens by itself; cached answers included."""
    pipeline = Pipeline(kafka_servers, redis_url, serving.home)
    user_id = f"user-{uuid4().hex}"
    write_events(redis_url, user_id, HIDDEN)
    catalog = SqlItemCatalog(connect(pipeline.settings.database_url))
    watchers = Watchers(serving.address, user_id)
    with (
        pipeline.writer("catalog"),
        EventProducer(kafka_servers, items_topic=pipeline.items_topic) as producer,
    ):
        producer.send_item(Item("warm-up"))
        await asyncio.to_thread(wait_until, lambda: catalog.count() == 1, 60, "the catalog writer runs")
        watching = [asyncio.create_task(watchers.watch(number)) for number in range(NUM_CHANNELS)]
        try:
            await watchers.all_show(True)
            produced_s = time.time()
            producer.send_item(Item(HIDDEN, hidden=True))
            not_yet_stored_s = await asyncio.to_thread(last_moment_before_version, catalog, 1)
            await watchers.all_show(False)
            gone_s = watchers.last_asked_s(True)

            producer.send_item(Item(HIDDEN))
            await watchers.all_show(True)

            opening = datetime.now(UTC) + timedelta(seconds=1.5)
            producer.send_item(Item(HIDDEN, available_from_time=opening))
            await watchers.all_show(False)
            closed_s = watchers.last_asked_s(True)
            await watchers.all_show(True)
            opened_s = watchers.last_asked_s(False)
        finally:
            watchers.stopping = True
            await asyncio.gather(*watching)

    log.info(
        "produced to gone %.3f s, stored to gone %.3f s, opening to shown %.3f s",
        gone_s - produced_s,
        gone_s - not_yet_stored_s,
        opened_s - opening.timestamp(),
    )
    assert gone_s - produced_s < WITHIN_S
    assert abs(opened_s - opening.timestamp()) < WITHIN_S
    behind_window = [
        seen for seen in watchers.answers if closed_s < seen.asked_s and seen.answered_s < opening.timestamp()
    ]
    assert behind_window
    assert not any(HIDDEN in seen.item_ids for seen in behind_window)
    assert {seen.cache_hit for seen in watchers.answers if seen.question == "personal"} == {True, False}
    lists = defaultdict(set)
    for seen in watchers.answers:
        lists[seen.question, seen.catalog_version].add(seen.item_ids)
    assert {len(different) for different in lists.values()} == {1}, "law 2: one catalog state, one answer"
    assert len(lists) == 6


def last_moment_before_version(catalog: SqlItemCatalog, version: int) -> float:
    """Waits until the catalog has this version; returns a moment when it had not, as late as can be."""
    moment_s = time.time()
    while True:
        asked_s = time.time()
        if catalog.availability_since(version).version >= version:
            return moment_s
        moment_s = asked_s
