"""`nightjar events send` on a real Kafka."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from typer.testing import CliRunner, Result

from services.cli.events import app
from services.domain.errors import BrokerDown, InvalidRequest, NotRunning

pytestmark = pytest.mark.kafka
Send = Callable[..., Result]


@pytest.fixture
def topic(kafka_servers: str) -> str:
    name = f"events-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=kafka_servers)
    try:
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})
    finally:
        admin.close()
    return name


@pytest.fixture
def send(kafka_servers: str, topic: str, tmp_path: Path) -> Send:
    """Runs `nightjar events send` against that Kafka; standard output and error apart."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Result:
        settings = {
            "NIGHTJAR_HOME": str(tmp_path),
            "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": kafka_servers,
            "NIGHTJAR_KAFKA__EVENTS_TOPIC": topic,
            "NIGHTJAR_REDIS__URL": "redis://127.0.0.1:1/0",
        }
        return CliRunner().invoke(app, ["send", *arguments], input=stdin, env=settings | environment)

    return run


def reports(result: Result) -> list[dict[str, object]]:
    assert result.exception is None, result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_one_event_is_sent_and_reported(send: Send, topic: str) -> None:
    (report,) = reports(send("--user", "42", "--item", "50", "--type", "view", "--event-id", "e1", "--json"))
    assert report == {"event_id": "e1", "topic": topic, "partition": 0, "offset": 0}


def test_a_person_reads_a_sentence(send: Send, topic: str) -> None:
    result = send("--user", "42", "--item", "50", "--type", "rating", "--value", "5", "--event-id", "e1")
    assert result.stdout == f"Event e1 is stored: {topic}, partition 0, offset 0.\n"


def test_lines_from_standard_input_are_sent_in_order(send: Send) -> None:
    lines = [json.dumps({"event_id": f"e{n}", "user_id": "42", "item_id": str(n), "type": "view"}) for n in range(100)]
    made = reports(send("--file", "-", "--json", stdin="\n".join(lines)))
    assert [report["event_id"] for report in made] == [f"e{n}" for n in range(100)]
    assert [report["offset"] for report in made] == list(range(100))


def test_a_bad_line_ends_it_after_the_good_ones(send: Send, tmp_path: Path) -> None:
    """What was sent is reported; what is wrong is named by its line."""
    file = tmp_path / "events.jsonl"
    file.write_text('{"event_id": "e0", "user_id": "42", "item_id": "1", "type": "view"}\n{"user_id": "42"}\n')
    result = send("--file", str(file), "--json")
    assert isinstance(result.exception, InvalidRequest)
    assert str(result.exception) == "line 2: item_id is empty"
    assert json.loads(result.stdout)["event_id"] == "e0"


def test_a_dry_run_sends_nothing(send: Send) -> None:
    """Not even a connection is made."""
    result = send(
        *("--user", "42", "--item", "50", "--type", "view", "--dry-run"),
        NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1",
    )
    assert result.stdout == "1 events are well formed; nothing was sent.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--user", "42"], "--user, --item and --type are needed, or --file"),
        (["--file", "-", "--user", "42"], "--file cannot stand beside"),
        (["--file", "no-such-file"], "cannot be read: No such file"),
        (["--user", "42", "--item", "50", "--type", "view", "--time", "noon"], "'noon' is not ISO 8601"),
        (["--user", "42", "--item", "50", "--type", "view", "--time", "2026-01-31"], "has no zone"),
        (["--user", "", "--item", "50", "--type", "view"], "user_id is empty"),
        (["--user", "42", "--item", "50", "--type", "sees"], "type 'sees' is not declared"),
        (["--user", "42", "--item", "50", "--type", "view", "--time", "2999-01-01T00:00:00Z"], "future_time"),
        (["--user", "42", "--item", "50", "--type", "view", "--time", "2999-01-01T00:00:00Z", "--dry-run"], "future"),
    ],
)
def test_misuse_is_one_sentence(send: Send, arguments: list[str], sentence: str) -> None:
    result = send(*arguments)
    assert isinstance(result.exception, InvalidRequest)
    assert sentence in str(result.exception)


def test_a_file_that_is_no_text_is_refused(send: Send, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in str(send("--file", str(file)).exception)


def test_a_missing_topic_is_one_sentence(send: Send) -> None:
    result = send("--user", "42", "--item", "50", "--type", "view", NIGHTJAR_KAFKA__EVENTS_TOPIC="no-such-topic")
    assert isinstance(result.exception, BrokerDown)
    assert "no-such-topic" in str(result.exception)


def test_without_a_stack_the_command_says_how_to_start_one(tmp_path: Path) -> None:
    environment = {"NIGHTJAR_HOME": str(tmp_path)}
    result = CliRunner().invoke(app, ["send", "--user", "42", "--item", "50", "--type", "view"], env=environment)
    assert isinstance(result.exception, NotRunning)
    assert "nightjar up" in str(result.exception)
