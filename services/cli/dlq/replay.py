"""`nightjar dlq replay`: a dead record, mended, goes to its topic again, once."""

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Final

import typer
from google.protobuf.message import Message

from nightjar.v1 import event_pb2, item_pb2, user_pb2
from services.adapters.kafka_letters import letter_of, size_bytes_of
from services.adapters.kafka_reader import KafkaReader
from services.adapters.kafka_sender import KafkaSender
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.replay_memory import SqlReplayMemory
from services.cli.dlq.listing import Topic, letter_named
from services.cli.dlq.repairing import as_it_was, from_text, with_fields
from services.cli.streams import Decode, Streams, dead_letter_topics, decoders, opened_streams
from services.cli.terminal import printable
from services.domain.clock import SystemClock
from services.domain.dead_letters import StoredLetter
from services.domain.errors import InvalidRequest, ReplayRefused
from services.domain.interactions import Interaction
from services.domain.items import Item
from services.domain.stored_records import Position
from services.domain.streams import DeadLetter, Record
from services.domain.users import User
from services.ingest.replaying import LEASE, Outcome, Replaying

# Claimed and sent together. Larger: more is open after a crash, and in memory; smaller: more round trips.
BATCH: Final = 500
BATCH_BYTES: Final = 8 * 1_048_576

REFUSALS: Final[Mapping[Outcome, str]] = {
    Outcome.ALREADY_SENT: "was sent again before; a record is replayed once.",
    Outcome.BEING_SENT: f"is being sent by another command; if that one crashed, try again in {LEASE.seconds} s.",
    Outcome.UNKNOWABLE: "was being sent when a command crashed, and Kafka no longer holds what would tell whether it "
    "arrived; look for it in the log, and use `nightjar events send` if it is not there.",
    Outcome.OPEN: f"was not sent, for Kafka is slow; run the same command again in {LEASE.seconds} s.",
}


def replay(
    letter_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="As `nightjar dlq list` shows it. Unset: see --reason.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Mend a field, such as type=view or attributes.color=red."),
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="Instead: the whole record in JSON, from a file; - is standard input.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The user id to send it under, where the record's own key is wrong.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Without ID: all that died of it and would pass now, such as unknown_type.")
    ] = None,
    topic: Topic = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and say what would be sent; send nothing.")] = False,
) -> None:
    """Sends a dead record to its topic again, mended or as it was; refuses what would die again or was sent before.

    After declaring a missing event type, start the writers again, or they find it unknown once more.

    Example: nightjar dlq replay nightjar.events.v1.dlq/0/17 --set type=view

    Example: nightjar dlq replay --reason unknown_type --dry-run
    """
    if (letter_id is None) == (reason is None):
        raise InvalidRequest("ID or --reason", "is needed, one of them")
    if letter_id is None and (assignments or file is not None or key is not None):
        raise InvalidRequest("--set, --file and --key", "mend one record; name it by its ID")
    if assignments and file is not None:
        raise InvalidRequest("--set", "cannot stand beside --file")
    # A reader of its own for looking back: the other one is in the middle of the dead letters meanwhile.
    with opened_streams() as streams, KafkaReader(streams.servers) as back, KafkaSender(streams.servers) as sender:
        upgrade(streams.settings.database_url)
        memory = SqlReplayMemory(connect(streams.settings.database_url))
        replaying = Replaying(memory, streams.cluster, back, sender, SystemClock())
        if letter_id is not None:
            letter = letter_named(letter_id, streams.letters)
            record = _mended(letter, assignments or [], file, key, streams)
            _replay_one(letter, record, decoders(streams.settings), replaying, dry_run=dry_run)
        else:
            _replay_all(reason, dead_letter_topics(streams.settings, topic), streams, replaying, dry_run=dry_run)


def _mended(
    letter: StoredLetter, assignments: Sequence[str], file: str | None, key: str | None, streams: Streams
) -> Record:
    record = as_it_was(letter) if file is None else from_text(letter, _text_of(file))
    if assignments:
        record = with_fields(record, _empty_message(letter, streams), assignments)
    return record if key is None else record._replace(key=key.encode())


def _replay_one(
    letter: StoredLetter, record: Record, decode: Mapping[str, Decode], replaying: Replaying, *, dry_run: bool
) -> None:
    checked = _checked(letter, record, decode)
    if isinstance(checked, DeadLetter):
        detail = printable(checked.detail)
        raise ReplayRefused(f"It would die again: {checked.reason.value}: {detail}; mend it with --set.")
    source = Position(record.partition, record.offset)
    outcome = replaying.known([source]).get(source) if dry_run else replaying.replay({source: checked})[source]
    if outcome is not None and outcome in REFUSALS:
        raise ReplayRefused(f"The record of {letter.position} {REFUSALS[outcome]}")
    document = {"dry_run": dry_run, "id": str(letter.position), "source": str(source), "topic": source.partition.topic}
    typer.echo(json.dumps(document))


def _replay_all(
    reason: str | None, topics: Sequence[str], streams: Streams, replaying: Replaying, *, dry_run: bool
) -> None:
    decode, outcomes, dead = decoders(streams.settings), Counter[str](), Counter[str]()
    letters = (letter for letter in _oldest_first(topics, streams) if letter.reason == reason)
    for batch in in_batches(letters):
        ready: dict[Position, Record] = {}
        for letter in batch:
            try:
                checked = _checked(letter, as_it_was(letter), decode)
            except ReplayRefused:
                outcomes["not_whole"] += 1
                continue
            if isinstance(checked, DeadLetter):
                dead[checked.reason.value] += 1
            else:
                ready[Position(checked.partition, checked.offset)] = checked
        known = replaying.known(ready) if dry_run else replaying.replay(ready)
        outcomes.update(known.get(source, Outcome.SENT).value for source in ready)
        typer.echo(f"{sum(outcomes.values()) + sum(dead.values()):,} dead letters looked at", err=True)
    typer.echo(json.dumps({"dry_run": dry_run, **_every_outcome(outcomes), "would_die_again": dict(dead)}))


def in_batches(letters: Iterable[StoredLetter]) -> Iterator[Sequence[StoredLetter]]:
    """The letters in order, as many at a time as are sent together."""
    batch: list[StoredLetter] = []
    size_bytes = 0
    for letter in letters:
        if batch and (len(batch) == BATCH or size_bytes + size_bytes_of(letter) > BATCH_BYTES):
            yield batch
            batch, size_bytes = [], 0
        batch.append(letter)
        size_bytes += size_bytes_of(letter)
    if batch:
        yield batch


def _every_outcome(outcomes: Mapping[str, int]) -> dict[str, int]:
    return {name: outcomes.get(name, 0) for name in (*Outcome, "not_whole")}


def _oldest_first(topics: Sequence[str], streams: Streams) -> Iterator[StoredLetter]:
    """Those kept when the command began: what dies again meanwhile is not for this run."""
    partitions = chain.from_iterable(streams.cluster.partitions(topics).values())
    return (letter_of(each) for each in streams.reader.read(streams.cluster.ranges(partitions)))


def _checked(letter: StoredLetter, record: Record, decode: Mapping[str, Decode]) -> Record | DeadLetter:
    """The record keyed as the contract asks, or how it would die again. Raises ReplayRefused for a foreign topic."""
    if record.partition.topic != letter.source_topic or record.partition.topic not in decode:
        raise ReplayRefused(
            f"{letter.position} says its record was on {record.partition.topic}, which is not the topic whose dead "
            "letters these are; nothing is sent there."
        )
    decoded = decode[record.partition.topic](record)
    match decoded:
        case DeadLetter():
            return decoded
        case Interaction(user_id=key) | Item(item_id=key) | User(user_id=key):
            return record._replace(key=key.encode())
        case _:
            return record


def _empty_message(letter: StoredLetter, streams: Streams) -> Message:
    kafka = streams.settings.kafka
    kinds: Mapping[str, type[Message]] = {
        kafka.events_topic: event_pb2.Event,
        kafka.items_topic: item_pb2.Item,
        kafka.users_topic: user_pb2.User,
    }
    kind = kinds.get(letter.source_topic)
    if kind is None:
        raise ReplayRefused(f"{letter.position} is of no topic of these settings; nothing is sent there.")
    return kind()


def _text_of(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest("--file", f"{file!r} cannot be read: {error}") from error
