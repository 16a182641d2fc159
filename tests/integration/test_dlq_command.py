"""`nightjar dlq` on a real Kafka and a real catalog: look, mend, send again once, purge."""

import json
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from nightjar.v1 import event_pb2
from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.adapters.kafka_cluster import KafkaCluster
from services.adapters.kafka_reader import KafkaReader
from services.adapters.kafka_sender import KafkaSender
from services.adapters.kafka_source import KafkaDeadLetters
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.replay_memory import SqlReplayMemory
from services.cli.dlq import app
from services.domain.errors import BrokerDown, InvalidRequest, ReplayRefused
from services.domain.stored_records import Position, StoredRecord
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.ingest.replaying import LEASE, Outcome, Replaying
from services.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.streams import event_json

pytestmark = pytest.mark.kafka


class Desk:
    """Topics, a catalog and a command line of a test's own."""

    def __init__(self, servers: str, home: Path) -> None:
        name = uuid.uuid4().hex
        self.servers, self.topic = servers, f"events-{name}"
        self.items, self.users = f"items-{name}", f"users-{name}"
        self.settings = Settings(home=home)
        self.environment = {
            "NIGHTJAR_HOME": str(home),
            "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": servers,
            "NIGHTJAR_KAFKA__EVENTS_TOPIC": self.topic,
            "NIGHTJAR_KAFKA__ITEMS_TOPIC": self.items,
            "NIGHTJAR_KAFKA__USERS_TOPIC": self.users,
            "NIGHTJAR_REDIS__URL": "redis://127.0.0.1:1/0",
        }
        ensure_topics(servers, topic_specs(self.topic, self.items, self.users, 2))

    def bury(
        self, *values: bytes | None, reason: DeadReason = DeadReason.UNKNOWN_TYPE, topic: str = "", **of: Any
    ) -> None:
        """Writes dead letters as a writer does; their records were at offsets 0, 1, … of partition 1."""
        letters = KafkaDeadLetters(self.servers)
        partition = Partition(topic or self.topic, 1)
        letters.send(
            [DeadLetter(Record(partition, at, value, **of), reason, f"why {at}") for at, value in enumerate(values)]
        )
        letters.close()

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> Result:
        return CliRunner().invoke(app, list(arguments), input=stdin, env=self.environment | environment)

    def json(self, *arguments: str, **more: str) -> dict[str, Any]:
        result = self.run(*arguments, **more)
        assert result.exception is None, result.exception
        document: dict[str, Any] = json.loads(result.stdout)
        return document

    def letter_id(self, offset: int = 0) -> str:
        return f"{self.topic}.dlq/0/{offset}"

    def sent(self, topic: str = "") -> list[StoredRecord]:
        with KafkaCluster(self.servers) as cluster, KafkaReader(self.servers) as reader:
            partitions = cluster.partitions([topic or self.topic])[topic or self.topic]
            return list(reader.read(cluster.ranges(partitions)))


@pytest.fixture
def desk(kafka_servers: str, tmp_path: Path) -> Desk:
    return Desk(kafka_servers, tmp_path)


@pytest.fixture(scope="module")
def read_only(kafka_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One letter, for tests that change nothing."""
    desk = Desk(kafka_servers, tmp_path_factory.mktemp("desk"))
    desk.bury(ODD)
    return desk


def good(event_id: str = "e1", **fields: object) -> bytes:
    return event_json(event_id, **fields)


ODD = good(type="teleport", color="a field of a newer producer")


def test_the_list_shows_the_newest_first_by_topic_and_reason(desk: Desk) -> None:
    desk.bury(ODD, b"{ not json", reason=DeadReason.MALFORMED)
    desk.bury(ODD)
    desk.bury(b"{}", topic=desk.items)
    shown = desk.json("list", "--topic", "events", "--json")
    assert [letter["id"] for letter in shown["letters"]] == [desk.letter_id(2), desk.letter_id(1), desk.letter_id(0)]
    assert shown["kept"] == {f"{desk.topic}.dlq": 3}
    (letter,) = desk.json("list", "--reason", "unknown_type", "--topic", "events", "--json")["letters"]
    assert letter["source"] == f"{desk.topic}/1/0"
    assert letter["value"] == ODD.decode()
    assert len(desk.json("list", "--limit", "2", "--json")["letters"]) == 2


def test_a_person_reads_a_table_and_how_many_there_are(desk: Desk) -> None:
    desk.bury(b"\x00\x1b[31mred", reason=DeadReason.MALFORMED)
    result = desk.run("list", COLUMNS="200")
    assert "malformed" in result.stdout
    assert "\x1b[31mred" not in result.stdout
    assert f"{desk.topic}.dlq holds 1 dead letters." in result.stderr


def test_no_producer_makes_a_terminal_do_anything(desk: Desk) -> None:
    """Whatever a letter says of itself: its headers too are a producer's, if one writes there."""
    evil = "\x1b]0;owned\x07\x9b2J\x1b[31m"
    headers = {"source-topic": evil, "source-partition": "0", "source-offset": "1", "reason": evil, "detail": evil}
    with KafkaSender(desk.servers) as sender:
        record = Record(Partition(f"{desk.topic}.dlq", 0), 0, b"{}\nnow:  would pass", "text/\x1b[2J", evil.encode())
        sender.send([(record, {name: text.encode() for name, text in headers.items()})], 60.0)
    shown, listed = desk.run("show", desk.letter_id()).stdout, desk.run("list", COLUMNS="200").stdout
    assert all(line.isprintable() for line in shown.splitlines())
    assert all(line.isprintable() for line in listed.splitlines())
    assert sum(line.startswith("now:") for line in shown.splitlines()) == 1, "a value's second line is no line of ours"
    assert "owned" in shown
    assert "owned" in listed


def test_where_nothing_died_the_list_says_so(desk: Desk) -> None:
    assert desk.json("list", "--json")["letters"] == []
    assert f"{desk.topic}.dlq holds 0 dead letters." in desk.run("list").stdout


def test_one_letter_is_shown_with_all_it_holds_and_how_it_would_fare_now(desk: Desk) -> None:
    desk.bury(ODD, key=b"ada")
    shown = desk.json("show", desk.letter_id(), "--json")
    assert (shown["reason"], shown["detail"], shown["key"]) == ("unknown_type", "why 0", "ada")
    assert shown["headers"]["source-offset"] == "0"
    assert shown["now"].startswith("would die again: unknown_type")
    assert "unknown_type" in desk.run("show", desk.letter_id()).stdout
    desk.bury(b"\xff\x00")
    assert desk.json("show", desk.letter_id(1), "--json")["value"] == "hex:ff00"


@pytest.mark.parametrize("command", [["show"], ["replay"]])
@pytest.mark.parametrize("name", ["17", "topic/0/-1", "{topic}.dlq/0/99", "{topic}.dlq/7/0", "no-such-topic/0/0"])
def test_an_id_of_nothing_is_one_sentence(read_only: Desk, command: list[str], name: str) -> None:
    result = read_only.run(*command, name.format(topic=read_only.topic))
    assert isinstance(result.exception, InvalidRequest)
    assert "nightjar dlq list" in str(result.exception)


def test_a_mended_record_is_sent_once_and_keeps_what_was_not_mended(desk: Desk) -> None:
    desk.bury(ODD)
    mended = ["replay", desk.letter_id(), "--set", "type=rating", "--set", "value=4.5", "--set", "attributes.how=train"]
    assert desk.json(*mended, "--dry-run")["dry_run"]
    assert desk.sent() == []
    assert desk.json(*mended)["source"] == f"{desk.topic}/1/0"
    (record,) = desk.sent()
    assert json.loads(record.record.value or b"") == json.loads(ODD) | {
        "type": "rating",
        "value": 4.5,
        "attributes": {"how": "train"},
    }
    assert record.record.key == b"ada"
    assert record.headers["replay-of"] == f"{desk.topic}/1/0".encode()
    for again in (mended, [*mended, "--dry-run"]):
        result = desk.run(*again)
        assert isinstance(result.exception, ReplayRefused)
        assert "sent again before" in str(result.exception)
    assert len(desk.sent()) == 1
    assert desk.json("list", "--json")["letters"][0]["replay"] == "yes"


def test_two_letters_of_one_record_are_one_record(desk: Desk) -> None:
    """A writer that crashes after its dead letters writes them again."""
    desk.bury(good())
    desk.bury(good())
    desk.json("replay", desk.letter_id(0))
    assert isinstance(desk.run("replay", desk.letter_id(1)).exception, ReplayRefused)
    assert len(desk.sent()) == 1


def test_a_protobuf_record_keeps_fields_this_version_does_not_know(desk: Desk) -> None:
    message = event_pb2.Event(event_id="e1", user_id="ada", item_id="book", type="teleport")
    message.event_time.FromDatetime(datetime.now(UTC))
    newer = message.SerializeToString() + b"\xfa\x3f\x03new"  # field 1023, bytes
    desk.bury(newer, content_type="application/x-protobuf")
    desk.json("replay", desk.letter_id(), "--set", "type=view", "--set", "attributes.a=b")
    (record,) = desk.sent()
    sent = event_pb2.Event.FromString(record.record.value or b"")
    assert (sent.type, dict(sent.attributes), sent.user_id) == ("view", {"a": "b"}, "ada")
    assert b"\xfa\x3f\x03new" in (record.record.value or b"")


def test_what_would_die_again_is_refused_with_the_reason(desk: Desk) -> None:
    desk.bury(ODD)
    for mended in ([], ["--set", "type=view", "--set", "user_id="]):
        result = desk.run("replay", desk.letter_id(), *mended)
        assert isinstance(result.exception, ReplayRefused)
        assert "would die again" in str(result.exception)
    assert desk.sent() == []


def test_a_record_that_cannot_be_mended_is_given_whole(desk: Desk, tmp_path: Path) -> None:
    desk.bury(b"{ not json", reason=DeadReason.MALFORMED)
    assert "--file" in str(desk.run("replay", desk.letter_id(), "--set", "type=view").exception)
    file = tmp_path / "repaired.json"
    file.write_bytes(good("from-file"))
    desk.json("replay", desk.letter_id(), "--file", str(file))
    (record,) = desk.sent()
    assert json.loads(record.record.value or b"")["eventId"] == "from-file"


def test_a_user_under_the_wrong_key_is_sent_under_the_right_one(desk: Desk) -> None:
    """And a wish to be forgotten still counts from when it was made."""
    user = b'{"userId":"ada","updateTime":"2026-01-01T00:00:00Z"}'
    desk.bury(user, None, reason=DeadReason.INVALID_FIELD, topic=desk.users, key=b"bob\0")
    letters = desk.json("list", "--topic", "users", "--json")["letters"]
    for letter in letters:
        assert "would die again" in str(desk.run("replay", letter["id"]).exception)
        desk.json("replay", letter["id"], "--key", "ada")
    assert {(each.record.key, each.record.value) for each in desk.sent(desk.users)} == {(b"ada", user), (b"ada", None)}
    (wish,) = [each.record for each in desk.sent(desk.users) if each.record.value is None]
    written = datetime.fromisoformat(letters[0]["time"])
    assert wish.timestamp_us == int(written.timestamp() * 1_000_000)


def test_a_cut_letter_needs_the_whole_record(desk: Desk) -> None:
    desk.bury(good(surface="x" * 1_000_000), reason=DeadReason.OVERSIZED)
    result = desk.run("replay", desk.letter_id())
    assert isinstance(result.exception, ReplayRefused)
    assert "--file" in str(result.exception)
    desk.json("replay", desk.letter_id(), "--file", "-", stdin=good().decode())
    assert len(desk.sent()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "ID or --reason is needed"),
        (["{id}", "--reason", "unknown_type"], "ID or --reason is needed"),
        (["--reason", "unknown_type", "--set", "type=view"], "mend one record"),
        (["{id}", "--set", "type=view", "--file", "x"], "cannot stand beside --file"),
        (["{id}", "--set", "colour=red"], "no field=value of Event"),
        (["{id}", "--set", "type"], "no field=value of Event"),
        (["{id}", "--set", "attributes=x"], "a map is set member by member"),
        (["{id}", "--set", "type.x=y"], "only a map has members"),
        (["{id}", "--set", "value=much"], "value wants JSON"),
        (["{id}", "--file", "no-such-file"], "cannot be read"),
        (["--reason", "unknown_type", "--topic", "cats"], "'cats' is none of"),
    ],
)
def test_misuse_is_one_sentence(read_only: Desk, arguments: Sequence[str], sentence: str) -> None:
    result = read_only.run("replay", *(each.format(id=read_only.letter_id()) for each in arguments))
    assert isinstance(result.exception, InvalidRequest), result.exception
    assert sentence in str(result.exception)


def test_all_of_a_reason_go_again_once_their_type_is_declared(desk: Desk) -> None:
    desk.bury(*(good(f"e{n}", type="teleport") for n in range(7)), good(type="swim"), b"{", key=b"ada")
    desk.bury(b"{", reason=DeadReason.MALFORMED)
    declared = {"NIGHTJAR_EVENT_TYPES": '[{"name": "teleport", "role": "positive"}]'}
    replay = ["replay", "--reason", "unknown_type"]
    wanted = {"sent": 7, "already_sent": 0, "would_die_again": {"unknown_type": 1, "malformed": 1}}
    planned = desk.json(*replay, "--dry-run", **declared)
    assert wanted.items() <= planned.items()
    assert desk.sent() == []
    assert wanted.items() <= desk.json(*replay, **declared).items()
    assert sorted(json.loads(each.record.value or b"")["eventId"] for each in desk.sent()) == [
        f"e{n}" for n in range(7)
    ]
    again = desk.json(*replay, **declared)
    assert (again["sent"], again["already_sent"]) == (0, 7)
    assert len(desk.sent()) == 7


class Killed(Exception):
    pass


class MemoryOfTheKilled(SqlReplayMemory):
    def settle(self, sources: object) -> None:
        raise Killed


def test_a_crash_between_send_and_remember_sends_nothing_twice(desk: Desk) -> None:
    """With the real memory and the real topic: the next try finds the record there."""
    desk.bury(good())
    upgrade(desk.settings.database_url)
    engine, clock = connect(desk.settings.database_url), FakeClock()
    source = Position(Partition(desk.topic, 1), 0)
    record = Record(source.partition, 0, good(), "", b"ada")
    with (
        KafkaCluster(desk.servers) as cluster,
        KafkaReader(desk.servers) as reader,
        KafkaSender(desk.servers) as sender,
    ):
        with pytest.raises(Killed):
            Replaying(MemoryOfTheKilled(engine), cluster, reader, sender, clock).replay({source: record})
        assert len(desk.sent()) == 1
        again = Replaying(SqlReplayMemory(engine), cluster, reader, sender, clock)
        assert again.replay({source: record}) == {source: Outcome.BEING_SENT}
        clock.advance(LEASE.total_seconds() + 1)
        assert again.replay({source: record}) == {source: Outcome.ALREADY_SENT}
    assert len(desk.sent()) == 1
    assert isinstance(desk.run("replay", desk.letter_id()).exception, ReplayRefused)


def test_a_purge_deletes_up_to_a_time_and_says_how_many(desk: Desk) -> None:
    desk.bury(ODD, ODD, ODD)
    counted = {f"{desk.topic}.dlq": 3}
    assert desk.json("purge", "--topic", "events", "--dry-run")["purged"] == counted
    assert desk.json("purge", "--topic", "events", "--before", "1h", "--yes")["purged"] == {f"{desk.topic}.dlq": 0}
    assert len(desk.json("list", "--json")["letters"]) == 3
    assert desk.json("purge", "--topic", "events", "--yes")["purged"] == counted
    assert desk.json("list", "--json")["letters"] == []
    desk.bury(ODD)
    assert [letter["id"] for letter in desk.json("list", "--json")["letters"]] == [desk.letter_id(3)]


@pytest.mark.parametrize(
    "arguments", [[], ["--yes", "--dry-run"], ["--yes", "--before", "noon"], ["--yes", "--before", "2026-01-31"]]
)
def test_a_purge_wants_to_be_meant(read_only: Desk, arguments: list[str]) -> None:
    assert isinstance(read_only.run("purge", *arguments).exception, InvalidRequest)
    assert len(read_only.json("list", "--json")["letters"]) == 1


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "t.dlq/0/0"], ["replay", "--reason", "malformed"], ["purge", "--yes"]]
)
def test_a_broker_that_is_away_is_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    environment = {"NIGHTJAR_HOME": str(tmp_path), "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    result = CliRunner().invoke(app, arguments, env=environment)
    assert isinstance(result.exception, BrokerDown)
    assert "127.0.0.1:1" in str(result.exception)
