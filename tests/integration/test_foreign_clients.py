"""Clients that nobody here wrote, sending JSON: Apache Kafka's console producer (Java) and librdkafka's for Python.

What they send is in the log and in the histories; a field that nobody knows yet is carried, and a bad line stops
nothing.
"""

import asyncio
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from deltalake import DeltaTable

from nightjar.partitioning import KeyPartitioner
from services.domain.ids import UserId
from services.domain.streams import Counts
from tests.integration.pipeline import Pipeline, history_of, read_all
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
START = datetime.now(UTC) - timedelta(hours=1)
NUM_USERS, NUM_EVENTS = 5, 40


@pytest.fixture
def pipeline(kafka_servers: str, redis_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    built = Pipeline(kafka_servers, redis_url, tmp_path / "home")
    yield built
    built.producer.close()


def user(pipeline: Pipeline, number: int) -> str:
    """A user of this test alone: the Redis is everybody's."""
    return f"{pipeline.name}-{number % NUM_USERS}"


def event(pipeline: Pipeline, number: int, **more: object) -> str:
    fields = {
        "eventId": f"e{number:03}",
        "userId": user(pipeline, number),
        "itemId": f"i{number}",
        "type": "view",
        "eventTime": (START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "someday": {"a": ["new", "field"]},
    }
    return json.dumps(fields | more)


def check_all_arrived(pipeline: Pipeline, expected: Counts) -> list[dict[str, Any]]:
    """Reads what was sent with both writers; the rows of the log, by event id."""
    users = [UserId(user(pipeline, number)) for number in range(NUM_USERS)]

    def items_of(each: UserId) -> list[str]:
        return [entry.item_id for entry in asyncio.run(history_of(pipeline.redis_url, each)).entries]

    with pipeline.writer("offline"), pipeline.writer("online"):
        wait_until(lambda: pipeline.counts().read == expected.read, timeout_s=40, what="the log has read all")
        for number, each in enumerate(users):
            wanted = [f"i{row}" for row in range(number, NUM_EVENTS, NUM_USERS)]
            wait_until(lambda: items_of(each) == wanted, what=f"the history of {each}")  # noqa: B023 - called at once
    assert pipeline.counts() == expected
    rows = DeltaTable(pipeline.settings.log_folder).to_pyarrow_table().sort_by("event_id").to_pylist()
    assert [row["event_id"] for row in rows] == [f"e{number:03}" for number in range(NUM_EVENTS)]
    return list(rows)


def test_kafkas_own_console_producer(pipeline: Pipeline, kafka_tools: Path) -> None:
    lines = [f"{user(pipeline, number)}\t{event(pipeline, number)}" for number in range(NUM_EVENTS)]
    lines[9:9] = ["somebody\tthis is no event", f"somebody\t{event(pipeline, 999, type='teleport')}"]
    done = subprocess.run(
        [
            "kafka-console-producer.sh",
            *("--bootstrap-server", pipeline.servers, "--topic", pipeline.topic, "--property", "parse.key=true"),
        ],
        input="\n".join(lines) + "\n",
        env=os.environ | {"PATH": f"{kafka_tools}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = check_all_arrived(pipeline, Counts(read=NUM_EVENTS + 2, logged=NUM_EVENTS, dead=2))
    assert all(json.loads(row["unknown_fields"]) == {"json": {"someday": {"a": ["new", "field"]}}} for row in rows)
    reasons = Counter(letter["reason"] for letter in read_all(pipeline, pipeline.topic + ".dlq"))
    assert reasons == {"malformed": 1, "unknown_type": 1}


@pytest.mark.parametrize("partitioner", ["consistent_random", "murmur2_random"])
def test_librdkafka(pipeline: Pipeline, partitioner: str) -> None:
    """Its default partitioner keeps each user's events in order; murmur2 also puts them beside other clients'."""
    partitions: dict[str, set[int]] = {}

    def delivered(error: object, message: Any) -> None:
        assert error is None
        partitions.setdefault(message.key().decode(), set()).add(message.partition())

    producer = Producer({"bootstrap.servers": pipeline.servers, "partitioner": partitioner, "linger.ms": 5})
    for number in range(NUM_EVENTS):
        value, key = event(pipeline, number), user(pipeline, number)
        producer.produce(
            pipeline.topic, value, key, headers=[("content-type", "application/json")], on_delivery=delivered
        )
    assert producer.flush(20) == 0
    check_all_arrived(pipeline, Counts(read=NUM_EVENTS, logged=NUM_EVENTS))
    assert {key: len(numbers) for key, numbers in partitions.items()} == dict.fromkeys(partitions, 1)
    assert len(partitions) == NUM_USERS
    if partitioner == "murmur2_random":
        ours = KeyPartitioner()
        for key, numbers in partitions.items():
            assert numbers == {ours.partition(pipeline.topic, key, key.encode(), None, b"", TwoPartitions())}


class TwoPartitions:
    """As much of a cluster as the SDK's partitioner asks for."""

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0, 1}
