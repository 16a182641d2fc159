"""A stream of realistic events on a real Kafka of the benchmark's own, produced with librdkafka."""

import contextlib
import random
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from confluent_kafka import Producer

from deploy.embedded import kafka, kafka_jars
from deploy.embedded.java import find_java
from deploy.embedded.ports import any_free
from deploy.embedded.processes import running
from nightjar.v1 import event_pb2
from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.settings import Settings

NUM_PARTITIONS: Final = 4
NUM_USERS: Final = 50_000
NUM_ITEMS: Final = 20_000
SPAN_S: Final = 7 * 86_400  # the events' times: a week up to now
TYPES: Final = ("view", "view", "view", "click", "cart", "purchase", "rating")


@contextlib.contextmanager
def broker() -> Iterator[str]:
    """Bootstrap servers of a Kafka as `nightjar up` starts it, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        node = kafka.KafkaNode(Path(folder), any_free(), any_free(), heap_mib=512)
        class_path = kafka_jars.class_path(Settings().cache_folder)
        with running(kafka.program(node, find_java(), class_path, Path(folder) / "kafka.log")):
            yield node.bootstrap_servers


def event_at(number: int, num_events: int, rng: random.Random, newest_us: int) -> event_pb2.Event:
    """One event: eleven fields, an id as long as a UUID without hyphens, about 130 bytes in protobuf."""
    event = event_pb2.Event(
        event_id=f"{rng.getrandbits(128):032x}",
        user_id=f"user-{rng.randrange(NUM_USERS):06}",
        item_id=f"item-{int(rng.paretovariate(1.1)) % NUM_ITEMS:06}",
        type=rng.choice(TYPES),
        value=float(rng.randrange(1, 6)),
        session_id=f"s{number // 20:08x}",
        position=number % 20,
        surface="home" if number % 3 else "search",
        attributes={"device": "ios" if number % 2 else "android"},
    )
    event.event_time.FromMicroseconds(newest_us - (num_events - number) * SPAN_S * 1_000_000 // num_events)
    return event


def new_topic(servers: str) -> str:
    topic = f"events-{uuid.uuid4().hex}"
    ensure_topics(servers, topic_specs(topic, f"items-{topic}", f"users-{topic}", NUM_PARTITIONS))
    return topic


def produce(servers: str, topic: str, num_events: int, seed: int = 1) -> None:
    """Sends that many different events in protobuf, compressed as the SDK compresses."""
    rng, newest_us = random.Random(seed), int(datetime.now(UTC).timestamp() * 1_000_000)
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "compression.type": "gzip",
            "linger.ms": 20,
            "batch.size": 262_144,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": 200_000,
        }
    )
    headers: list[tuple[str, str | bytes | None]] = [("content-type", b"application/x-protobuf")]
    for number in range(num_events):
        event = event_at(number, num_events, rng, newest_us)
        if len(producer) > 150_000:
            producer.poll(0.1)
        producer.produce(topic, event.SerializeToString(), event.user_id, headers=headers)
    producer.flush()
