"""`nightjar ingest status` on a real way in: what it counts is what became of the records."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.cli.ingest import app
from services.domain.errors import BrokerDown, NotRunning
from tests.fakes.streams import event_json
from tests.integration.pipeline import Pipeline, user_event
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


@pytest.fixture
def pipeline(kafka_servers: str, redis_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    built = Pipeline(kafka_servers, redis_url, tmp_path / "home")
    yield built
    built.producer.close()


def run(pipeline: Pipeline, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["status", *arguments], env=pipeline.environment | {"COLUMNS": "200"})


def report(pipeline: Pipeline) -> tuple[int, dict[str, Any]]:
    result = run(pipeline, "--json")
    return result.exit_code, json.loads(result.stdout)


def test_what_became_of_every_record_is_told_by_partition(pipeline: Pipeline) -> None:
    for number in range(20):
        pipeline.send(user_event(number, f"u{number}", "book"), key=f"u{number}", content_type="application/x-protobuf")
    pipeline.send(user_event(3, "u3", "book"), key="u3", content_type="application/x-protobuf")
    pipeline.send(b"{ not json", key="u3")
    pipeline.producer.flush()
    with pipeline.writer("offline"), pipeline.writer("online"):
        wait_until(lambda: pipeline.counts().read == 22, timeout_s=40)
        wait_until(lambda: report(pipeline)[1]["writers"]["online"]["lag"] == 0, timeout_s=40)
        status, told = report(pipeline)
    assert {name: told["totals"][name] for name in ("read", "logged", "dead", "duplicate")} == {
        "read": 22,
        "logged": 20,
        "dead": 1,
        "duplicate": 1,
    }
    assert told["totals"]["conserved"]
    assert [each["offline_lag"] for each in told["partitions"]] == [0, 0]
    assert sum(each["next_offset"] for each in told["partitions"]) == 22
    assert all(each["watermark"] is not None for each in told["partitions"])
    assert told["offline_events_per_s"] > 0
    assert told["dead_letters"][f"{pipeline.topic}.dlq"] == 1
    assert (told["writers"]["offline"]["members"], told["writers"]["users"]["members"]) == (1, 0)
    assert status == 1, "no writer of items runs"
    sentences = " ".join(each["sentence"] for each in told["troubles"])
    assert "No items writer runs" in sentences
    assert "1 dead letters are kept" in sentences


def test_a_redis_that_nobody_named_is_not_said_to_be_silent(pipeline: Pipeline) -> None:
    pipeline.send(event_json("e"))
    pipeline.producer.flush()
    unnamed = {name: value for name, value in pipeline.environment.items() if name != "NIGHTJAR_REDIS__URL"}
    result = CliRunner().invoke(app, ["status", "--json"], env=unnamed)
    sentences = " ".join(each["sentence"] for each in json.loads(result.stdout)["troubles"])
    assert "set NIGHTJAR_REDIS__URL" in sentences
    assert "Redis does not answer" not in sentences


def test_records_that_wait_are_lag_and_nobody_at_work_is_said(pipeline: Pipeline) -> None:
    for number in range(5):
        pipeline.send(event_json(f"e{number}"))
    pipeline.producer.flush()
    status, told = report(pipeline)
    assert status == 1
    assert told["log"] is None
    assert sum(each["offline_lag"] for each in told["partitions"]) == 5
    assert (told["writers"]["offline"]["lag"], told["writers"]["online"]["lag"]) == (5, 5)
    assert any("is `nightjar up` running?" in each["sentence"] for each in told["troubles"])
    shown = run(pipeline).stdout
    assert "The log has no commit yet." in shown
    assert "read 0 = logged 0 + dead 0 + duplicate 0: holds." in shown
    assert "is `nightjar up` running?" in shown


def test_a_watch_goes_on_until_a_signal_ends_it_cleanly(pipeline: Pipeline, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.cli.main", "ingest", "status", "--watch", "--json"]
    shown = tmp_path / "shown"
    with shown.open("w") as out:
        child = subprocess.Popen(command, env=os.environ | pipeline.environment, stdout=out, start_new_session=True)
    try:
        wait_until(lambda: len(shown.read_text().splitlines()) >= 2, timeout_s=60)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=15) == 0
    finally:
        child.kill()
    first, second = (json.loads(line) for line in shown.read_text().splitlines()[:2])
    assert first["online_events_per_s"] is None, "a rate needs two looks"
    assert second["online_events_per_s"] == 0


def test_a_broker_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    environment = {"NIGHTJAR_HOME": str(tmp_path), "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    result = CliRunner().invoke(app, ["status"], env=environment)
    assert isinstance(result.exception, BrokerDown)


def test_without_a_stack_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status"], env={"NIGHTJAR_HOME": str(tmp_path)})
    assert isinstance(result.exception, NotRunning)
    assert "nightjar up" in str(result.exception)
