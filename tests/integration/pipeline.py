"""What tests of the way in share: topics and a home of a test's own, writers in real processes, looks inside."""

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from nightjar.v1 import event_pb2
from services.adapters.delta_log import DeltaEventLog
from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.adapters.redis_store import RedisHistoryReader, RedisStore
from services.adapters.sql.migrate import upgrade
from services.domain.ids import UserId
from services.domain.interactions import UserHistory
from services.domain.streams import Counts, Partition
from services.settings import Settings
from tests.waiting import wait_until

NOW = datetime.now(UTC)


class Pipeline:
    """Topics, a home folder and a namespace of a test's own."""

    def __init__(self, servers: str, redis_url: str, home: Path, name: str = "") -> None:
        self.name = name or uuid.uuid4().hex
        self.servers = servers
        self.redis_url = redis_url
        self.topic, self.items_topic = f"events-{self.name}", f"items-{self.name}"
        self.users_topic = f"users-{self.name}"
        self.settings = Settings(home=home)
        self.environment = {
            "NIGHTJAR_HOME": str(home),
            "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": servers,
            "NIGHTJAR_KAFKA__EVENTS_TOPIC": self.topic,
            "NIGHTJAR_KAFKA__ITEMS_TOPIC": self.items_topic,
            "NIGHTJAR_KAFKA__USERS_TOPIC": self.users_topic,
            "NIGHTJAR_KAFKA__CONSUMER_GROUP_PREFIX": self.name,
            "NIGHTJAR_REDIS__URL": redis_url,
            "NIGHTJAR_INGEST__COMMIT_INTERVAL_S": "0.2",
        }
        upgrade(self.settings.database_url)
        ensure_topics(servers, topic_specs(self.topic, self.items_topic, self.users_topic, 2))
        self.producer = KafkaProducer(bootstrap_servers=servers, metrics_enabled=False)

    def send(self, value: bytes, *, key: str = "ada", content_type: str = "", topic: str = "") -> None:
        headers = [("content-type", content_type.encode())] if content_type else []
        self.producer.send(topic or self.topic, key=key.encode(), value=value, headers=headers)

    @contextmanager
    def writer(self, kind: str, log: IO[str] | int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", "services.ingest", kind]
        child = subprocess.Popen(command, env=os.environ | self.environment, stderr=log)
        try:
            yield child
        finally:
            child.kill()
            child.wait()

    def log(self) -> DeltaEventLog:
        return DeltaEventLog(self.settings.log_folder)

    def counts(self) -> Counts:
        stored = self.log().progress([Partition(self.topic, number) for number in range(2)])
        return sum((progress.counts for progress in stored.values()), Counts())


def user_event(number: int, user: str, item: str) -> bytes:
    message = event_pb2.Event(event_id=f"e{number:05}", user_id=user, item_id=item, type="rating", value=4)
    message.event_time.FromDatetime(NOW - timedelta(days=1) + timedelta(seconds=number))
    return message.SerializeToString()


async def history_of(redis_url: str, user: UserId) -> UserHistory:
    reader = RedisHistoryReader(RedisStore(redis_url, timeout_s=5))
    try:
        return await reader.read(user)
    finally:
        await reader.aclose()


def read_all(pipeline: Pipeline, topic: str) -> list[dict[str, str]]:
    """The headers of every record of a one-partition topic."""
    consumer = KafkaConsumer(bootstrap_servers=pipeline.servers, enable_auto_commit=False, metrics_enabled=False)
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    found: list[dict[str, str]] = []

    def drained() -> bool:
        for messages in consumer.poll(timeout_ms=200).values():
            found.extend({name: value.decode() for name, value in message.headers} for message in messages)
        return bool(consumer.position(partition) >= end)

    wait_until(drained, what=f"all of {topic}")
    consumer.close()
    return found
