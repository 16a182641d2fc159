"""`nightjar events tail` and `replay` on a real Kafka and a real log."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nightjar.v1 import event_pb2
from services.adapters.kafka_admin import TopicSpec, ensure_topics
from services.adapters.kafka_cluster import KafkaCluster
from services.adapters.kafka_reader import KafkaReader
from services.cli.events import app
from services.domain.errors import BrokerDown, InvalidRequest, NotRunning
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch, Partition
from tests.fakes.streams import event_json
from tests.integration.pipeline import Pipeline
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def pipeline(kafka_servers: str, tmp_path: Path) -> Iterator[Pipeline]:
    built = Pipeline(kafka_servers, "redis://127.0.0.1:1/0", tmp_path / "home")
    yield built
    built.producer.close()


def run(pipeline: Pipeline, *arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env=pipeline.environment)


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def fill(pipeline: Pipeline) -> None:
    pipeline.send(event_json("e1", userId="ada", itemId="book", type="rating", value=4.5))
    pipeline.send(b"{ \x1b[2J not json")
    pipeline.send(event_json("e2", userId="bob", itemId="book"))
    pipeline.send(event_json("e3", userId="ada", itemId="film", attributes={"how": "train"}))
    pipeline.producer.flush()


def test_the_oldest_come_first_and_dead_ones_say_why(pipeline: Pipeline) -> None:
    fill(pipeline)
    shown = lines(run(pipeline, "tail", "--from-beginning", "--limit", "4", "--json"))
    assert [each["event"]["event_id"] if "event" in each else each["dead"] for each in shown] == [
        "e1",
        "malformed",
        "e2",
        "e3",
    ]
    assert shown[3]["event"]["attributes"] == {"how": "train"}
    assert [each["offset"] for each in shown] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["--user", "ada"], ["e1", "e3"]),
        (["--item", "book"], ["e1", "e2"]),
        (["--type", "rating"], ["e1"]),
        (["--user", "ada", "--item", "film"], ["e3"]),
    ],
)
def test_a_tail_of_some_is_of_those(pipeline: Pipeline, arguments: list[str], ids: Sequence[str]) -> None:
    fill(pipeline)
    limited = ["tail", "--since", "10m", "--limit", str(len(ids)), "--json", *arguments]
    assert [each["event"]["event_id"] for each in lines(run(pipeline, *limited))] == ids


def test_a_person_reads_a_line_an_event_and_no_terminal_is_told_what_to_do(pipeline: Pipeline) -> None:
    fill(pipeline)
    shown = run(pipeline, "tail", "--from-beginning", "--limit", "4").stdout
    assert "2026-01-02 03:04:05  ada  rating 4.5  book  [" in shown
    assert "dead" in shown
    assert "\x1b" not in shown


def test_json_gives_a_terminal_no_control_characters_either(pipeline: Pipeline) -> None:
    """Also not those of one byte, which JSON itself does not forbid: U+009B begins a command as ESC [ does."""
    pipeline.send(event_json("e1", surface="\x9b2Jhome\x7f"))
    pipeline.producer.flush()
    result = run(pipeline, "tail", "--from-beginning", "--limit", "1", "--json")
    assert result.stdout.strip().isprintable()
    assert [each["event"]["surface"] for each in lines(result)] == ["\x9b2Jhome\x7f"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_tail_shows_what_comes_and_a_signal_ends_it_cleanly(
    pipeline: Pipeline, number: signal.Signals, tmp_path: Path
) -> None:
    fill(pipeline)
    command = [sys.executable, "-m", "services.cli.main", "events", "tail", "--json"]
    shown = tmp_path / "shown"
    with shown.open("w") as out:
        child = subprocess.Popen(command, env=os.environ | pipeline.environment, stdout=out, start_new_session=True)

    def heard() -> bool:
        pipeline.send(event_json("fresh"))
        pipeline.producer.flush()
        return "fresh" in shown.read_text()

    try:
        wait_until(heard, timeout_s=40)
        child.send_signal(number)
        assert child.wait(timeout=15) == 0
    finally:
        child.kill()
    assert "e1" not in shown.read_text(), "without --since it begins with the next record"


def test_a_missing_topic_and_two_beginnings_are_one_sentence(pipeline: Pipeline) -> None:
    pipeline.environment["NIGHTJAR_KAFKA__EVENTS_TOPIC"] = "no-such-topic"
    assert isinstance(run(pipeline, "tail").exception, NotRunning)
    assert isinstance(run(pipeline, "tail", "--since", "1h", "--from-beginning").exception, InvalidRequest)
    assert isinstance(run(pipeline, "tail", "--since", "soon").exception, InvalidRequest)


def fill_log(pipeline: Pipeline, num_hours: int = 10) -> None:
    """An event an hour, the newest at noon."""
    log = pipeline.log()
    rows = [
        Interaction(
            EventId(f"e{age}"),
            UserId("ada" if age % 2 else "bob"),
            ItemId("book"),
            "view",
            int((NOON - timedelta(hours=age)).timestamp()) * 1_000_000,
        )
        for age in range(num_hours)
    ]
    log.append(LogBatch(rows))


def test_a_range_goes_to_another_topic_in_the_order_of_its_times(pipeline: Pipeline, kafka_servers: str) -> None:
    fill_log(pipeline)
    other = f"again-{pipeline.name}"
    ensure_topics(kafka_servers, [TopicSpec(other, 1)])
    wanted = ["replay", "--since", "2026-01-02T08:00:00Z", "--until", "2026-01-02T11:00:00Z", "--to-topic", other]
    (planned,) = lines(run(pipeline, *wanted, "--dry-run"))
    assert planned == {"topic": other, "log_version": 1, "dry_run": True, "events": 3, "interrupted": False}
    with KafkaCluster(kafka_servers) as cluster:
        assert len(cluster.ranges([Partition(other, 0)])[Partition(other, 0)]) == 0
    assert json.loads(run(pipeline, *wanted).stdout)["events"] == 3
    assert json.loads(run(pipeline, *wanted, "--user", "bob", "--speed", "36000").stdout)["events"] == 2
    with KafkaReader(kafka_servers) as reader, KafkaCluster(kafka_servers) as cluster:
        sent = list(reader.read(cluster.ranges([Partition(other, 0)])))
    ids = [event_pb2.Event.FromString(each.record.value or b"").event_id for each in sent]
    assert ids == ["e4", "e3", "e2", "e4", "e2"]
    assert {each.record.key for each in sent} == {b"ada", b"bob"}


def test_in_the_events_topic_they_are_duplicates_of_themselves(pipeline: Pipeline) -> None:
    """The log counts them and holds nothing twice."""
    fill_log(pipeline)
    assert json.loads(run(pipeline, "replay", "--since", "2026-01-02T00:00:00Z").stdout)["events"] == 10
    with pipeline.writer("offline"):
        wait_until(lambda: pipeline.counts().read == 10, timeout_s=40)
    assert (pipeline.counts().duplicate, pipeline.counts().logged) == (10, 0)
    assert pipeline.log().num_events() == 10


def test_events_that_the_counters_forgot_are_counted_and_named(pipeline: Pipeline) -> None:
    """They add to what is popular again; the log and the histories take no notice."""
    for number in range(6):
        pipeline.send(event_json(f"e{number}", userId="ada", eventTime="2026-01-02T12:00:00Z"))
    pipeline.producer.flush()
    with pipeline.writer("offline"):
        wait_until(lambda: pipeline.counts().logged == 6, timeout_s=40)
    pipeline.environment["NIGHTJAR_REDIS__COUNTER_DEDUPE_OFFSETS"] = "2"
    result = run(pipeline, "replay", "--since", "2026-01-02T00:00:00Z", "--dry-run")
    assert json.loads(result.stdout) | {"log_version": 0} == {
        "topic": pipeline.topic,
        "log_version": 0,
        "dry_run": True,
        "events": 6,
        "interrupted": False,
        "counted_again": 4,
    }
    assert "4 of them" in result.stderr
    assert "features rebuild" in result.stderr
    pipeline.environment["NIGHTJAR_REDIS__COUNTER_DEDUPE_OFFSETS"] = "6"
    remembered = run(pipeline, "replay", "--since", "2026-01-02T00:00:00Z")
    assert json.loads(remembered.stdout)["counted_again"] == 0
    assert "features rebuild" not in remembered.stderr


def test_events_older_than_the_writers_memory_are_refused_in_the_events_topic(pipeline: Pipeline) -> None:
    fill_log(pipeline)
    pipeline.environment["NIGHTJAR_INGEST__DEDUPE_WINDOW_S"] = "7200"
    result = run(pipeline, "replay", "--since", "2026-01-02T00:00:00Z")
    assert isinstance(result.exception, InvalidRequest)
    assert "before 2026-01-02T10:00:00Z" in str(result.exception)
    assert json.loads(run(pipeline, "replay", "--since", "2026-01-02T10:00:00Z").stdout)["events"] == 3


@pytest.mark.parametrize(("max_ids", "since_hour", "said"), [(0, 11, "finds no duplicates"), (4, 8, "has 5 events")])
def test_more_events_than_the_writer_remembers_are_refused_in_the_events_topic(
    pipeline: Pipeline, max_ids: int, since_hour: int, said: str
) -> None:
    """However few of them are asked for: it is the newest of all that stay in memory."""
    fill_log(pipeline)
    pipeline.environment["NIGHTJAR_INGEST__DEDUPE_MAX_IDS"] = str(max_ids)
    since = f"2026-01-02T{since_hour:02}:00:00Z"
    for more in ([], ["--user", "ada"], ["--until", "2026-01-02T08:30:00Z"], ["--dry-run"]):
        refused = run(pipeline, "replay", "--since", since, *more)
        assert isinstance(refused.exception, InvalidRequest)
        assert said in str(refused.exception)
    ensure_topics(pipeline.servers, [TopicSpec(f"again-{pipeline.name}", 1)])
    elsewhere = run(pipeline, "replay", "--since", since, "--to-topic", f"again-{pipeline.name}")
    assert json.loads(elsewhere.stdout)["events"] == 13 - since_hour


def test_as_many_events_as_the_writer_remembers_are_sent(pipeline: Pipeline) -> None:
    fill_log(pipeline)
    pipeline.environment["NIGHTJAR_INGEST__DEDUPE_MAX_IDS"] = "4"
    assert json.loads(run(pipeline, "replay", "--since", "2026-01-02T09:00:00Z").stdout)["events"] == 4


def test_a_signal_ends_a_paced_replay_and_what_was_sent_is_told(pipeline: Pipeline) -> None:
    fill_log(pipeline)
    command = [sys.executable, "-m", "services.cli.main", "events", "replay", "--since", "2026-01-02T10:00:00Z"]
    child = subprocess.Popen(
        [*command, "--speed", "1"],
        env=os.environ | pipeline.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        with KafkaCluster(pipeline.servers) as cluster:
            partitions = cluster.partitions([pipeline.topic])[pipeline.topic]
            wait_until(lambda: sum(map(len, cluster.ranges(partitions).values())) == 1, timeout_s=40)
        child.send_signal(signal.SIGINT)
        shown, _ = child.communicate(timeout=30)
    finally:
        child.kill()
    assert child.returncode == 130
    assert (json.loads(shown)["events"], json.loads(shown)["interrupted"]) == (1, True)


def test_a_log_without_events_and_a_topic_that_is_none(pipeline: Pipeline) -> None:
    assert json.loads(run(pipeline, "replay", "--since", "1h").stdout)["events"] == 0
    fill_log(pipeline)
    missing = run(pipeline, "replay", "--since", "2026-01-02T00:00:00Z", "--to-topic", "no-such-topic")
    assert isinstance(missing.exception, InvalidRequest)
    assert "'no-such-topic' does not exist" in str(missing.exception)


@pytest.mark.parametrize("arguments", [["tail"], ["replay", "--since", "1h"]])
def test_a_broker_that_is_away_is_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    environment = {"NIGHTJAR_HOME": str(tmp_path), "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    result = CliRunner().invoke(app, arguments, env=environment)
    assert isinstance(result.exception, BrokerDown)
