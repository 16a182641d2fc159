"""Redis made again from the log is what the live path made of the same records, key by key."""

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from nightjar.v1 import event_pb2
from services.adapters.delta_log import DeltaEventLog
from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.adapters.sql.migrate import upgrade
from services.cli.main import run
from services.domain.counters import shard_of
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch, Partition
from services.features.wiring import open_counters, rebuild
from services.ingest.wiring import WriterKind, run_writer
from services.settings import Settings
from tests.redis_state import client_of, state_of
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
NUM_PARTITIONS = 3
USERS = [f"user-{number}" for number in range(12)]
TYPES = ["impression", "impression", "view", "cart", "rating", "dislike", "purchase"]


class Pipeline:
    """A topic, a log and a Redis of a test's own; both writers run as threads."""

    def __init__(self, servers: str, redis_url: str, home: Path, topic: str = "") -> None:
        self.topic = topic or f"events-{uuid.uuid4().hex}"
        self.redis_url = redis_url
        self.settings = Settings.model_validate(
            {
                "home": home,
                "kafka": {
                    "bootstrap_servers": servers,
                    "events_topic": self.topic,
                    "consumer_group_prefix": uuid.uuid4().hex,
                },
                "redis": {"url": redis_url, "max_history": 50, "counter_max_surfaces": 1},
                "train": {"max_history": 50},
                "ingest": {"commit_interval_s": 0.2},
            }
        )
        upgrade(self.settings.database_url)
        self.partitions = [Partition(self.topic, number) for number in range(NUM_PARTITIONS)]
        self._random = Random(7)
        self._sent: list[tuple[str, bytes]] = []

    def send(self, num_records: int, pause_s: float = 0.0) -> None:
        """Events of every kind, some of them again, some of them dead; with a pause after each."""
        paused = threading.Event()
        producer = KafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap_servers, metrics_enabled=False)
        headers = [("content-type", b"application/x-protobuf")]
        for _ in range(num_records):
            draw = self._random.random()
            if draw < 0.1 and self._sent:
                user, value = self._random.choice(self._sent)
            elif draw < 0.15:
                user, value = self._random.choice(USERS), b"not protobuf"
            else:
                user, value = self._event()
                self._sent.append((user, value))
            producer.send(self.topic, key=user.encode(), value=value, headers=headers)
            paused.wait(pause_s)
        producer.flush()
        producer.close()

    def _event(self) -> tuple[str, bytes]:
        draw = self._random
        user, kind = draw.choice(USERS), draw.choice(TYPES)
        event = event_pb2.Event(
            event_id=uuid.UUID(int=draw.getrandbits(128)).hex,
            user_id=user,
            item_id=f"item-{draw.randrange(40)}",
            type=kind,
            surface=draw.choice(["home", "home", "search", ""]),
        )
        if kind == "rating":
            event.value = draw.randrange(1, 6)
        event.event_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=draw.randrange(5 * 86_400)))
        return user, event.SerializeToString()

    @contextmanager
    def writer(self, kind: WriterKind) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=run_writer, args=(kind, self.settings, stop, lambda: None))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def ends(self) -> dict[Partition, int]:
        consumer = KafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap_servers, metrics_enabled=False)
        found = consumer.end_offsets([TopicPartition(self.topic, each.number) for each in self.partitions])
        consumer.close()
        return {Partition(self.topic, each.partition): offset for each, offset in found.items()}

    def wait_until_applied(self) -> None:
        ends, counters = self.ends(), open_counters(self.settings)
        wanted = {shard_of(partition): offset for partition, offset in ends.items()}
        wait_until(lambda: counters.fences(list(wanted)) == wanted, timeout_s=40, what="all records are in Redis")
        counters.close()

    def wait_until_logged(self) -> None:
        ends, log = self.ends(), DeltaEventLog(self.settings.log_folder)

        def logged() -> bool:
            stored = log.progress(self.partitions)
            return {partition: progress.next_offset for partition, progress in stored.items()} == ends

        wait_until(logged, timeout_s=40, what="all records are in the log")

    def state(self) -> dict[str, Any]:
        """All but the list of the shards, which says when each was last heard of, and which rebuild made them."""
        found = {key: held for key, held in state_of(self.redis_url).items() if key != "nj:ctr:shards"}
        for key in [key for key in found if key.endswith("}:d")]:
            found[key].pop(b"rebuild", None)
            if not found[key]:
                del found[key]  # of a shard without events
        return found


@pytest.fixture
def open_pipeline(kafka_servers: str, redis_url: str, tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Opens a pipeline on an emptied database of the Redis; its number tells them apart."""
    opened = []

    def open_one(database: int = 9, topic: str = "") -> Pipeline:
        url = redis_url.removesuffix("/0") + f"/{database}"
        with client_of(url) as client:
            client.flushdb()
        pipeline = Pipeline(kafka_servers, url, tmp_path / f"home-{database}", topic)
        if not topic:
            ensure_topics(kafka_servers, topic_specs(pipeline.topic, "items-unused", "users-unused", NUM_PARTITIONS))
        opened.append(url)
        return pipeline

    yield open_one
    for url in opened:
        with client_of(url) as client:
            client.flushdb()


def same(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert first.keys() == second.keys()
    for key, held in first.items():
        if ":z:" in key:
            assert second[key] == pytest.approx(held, rel=1e-9), key
        else:
            assert second[key] == held, key


def test_a_rebuild_ends_in_the_state_of_the_live_path(open_pipeline: Callable[..., Pipeline]) -> None:
    """Of an emptied Redis, and again over what is there; the writer then goes on from the fences it finds."""
    pipeline = open_pipeline()
    pipeline.send(600)
    with pipeline.writer(WriterKind.ONLINE), pipeline.writer(WriterKind.OFFLINE):
        pipeline.wait_until_applied()
        pipeline.wait_until_logged()
    live = pipeline.state()
    kinds = {key.rpartition("}")[2].split(":")[1] for key in live}
    assert kinds == {"h", "c", "s", "v", "d", "z", "i"}
    with client_of(pipeline.redis_url) as client:
        client.flushdb()
    for _ in range(2):
        rebuilt = rebuild(pipeline.settings, lambda _: None)
        same(live, pipeline.state())
    assert rebuilt.fences == pipeline.ends()
    with pipeline.writer(WriterKind.ONLINE):
        pipeline.send(200)
        pipeline.wait_until_applied()
    fresh = open_pipeline(database=10, topic=pipeline.topic)
    with fresh.writer(WriterKind.ONLINE):
        fresh.wait_until_applied()
    same(fresh.state(), pipeline.state())


def test_a_rebuild_while_events_arrive_loses_and_repeats_none(open_pipeline: Callable[..., Pipeline]) -> None:
    """Fences are set back under a running writer, and Redis is emptied under it; it reads again what is missing."""
    pipeline = open_pipeline()
    pipeline.send(300)
    with pipeline.writer(WriterKind.ONLINE), pipeline.writer(WriterKind.OFFLINE):
        pipeline.wait_until_applied()
        pipeline.wait_until_logged()
        sending = threading.Thread(target=pipeline.send, args=(600, 0.005))
        sending.start()
        rebuild(pipeline.settings, lambda _: None)
        with client_of(pipeline.redis_url) as client:
            client.flushdb()
        rebuild(pipeline.settings, lambda _: None)
        sending.join()
        pipeline.wait_until_applied()
    fresh = open_pipeline(database=10, topic=pipeline.topic)
    with fresh.writer(WriterKind.ONLINE):
        fresh.wait_until_applied()
    same(fresh.state(), pipeline.state())


def test_the_commands_say_what_is_trending_and_rebuild(
    open_pipeline: Callable[..., Pipeline], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Imported events reach Redis with a rebuild."""
    pipeline = open_pipeline()
    settings = pipeline.settings
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    DeltaEventLog(settings.log_folder).append(
        LogBatch(
            [
                Interaction(EventId(f"e{n}"), UserId("ada"), ItemId(f"i{n % 3}"), "view", now_us - n, surface="home")
                for n in range(6)
            ]
        )
    )
    monkeypatch.setenv("NIGHTJAR_HOME", str(settings.home))
    monkeypatch.setenv("NIGHTJAR_REDIS__URL", pipeline.redis_url)

    def printed(*words: str) -> Any:
        with pytest.raises(SystemExit) as ended:
            run(["features", *words])
        assert ended.value.code == 0
        return json.loads(capsys.readouterr().out)

    assert printed("rebuild", "--dry-run") == {"dry_run": True, "version": 1, "num_events": 6, "partitions": {}}
    assert pipeline.state() == {}
    assert printed("rebuild")["num_imported"] == 6
    ranking = printed("trending", "--json", "-k", "2", "--surface", "home")["ranking"]
    assert [entry["name"] for entry in ranking] == ["i0", "i1"]
    assert [entry["score"] for entry in ranking] == pytest.approx([2.0, 2.0], rel=1e-2)
    assert printed("trending", "--json", "--kind", "popular", "--category", "Noir")["ranking"] == []
    assert printed("trending", "--json", "--by-category")["ranking"] == []
