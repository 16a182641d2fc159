"""`nightjar dlq list` and `show`: which records died, and what is in one of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Annotated, Final

import typer
from rich.console import Console

from services.adapters.kafka_letters import KafkaLetters
from services.adapters.sql.engine import connect
from services.adapters.sql.replay_memory import SqlReplayMemory
from services.cli.dlq.repairing import as_it_was
from services.cli.dlq.showing import document_of, table, text_of
from services.cli.streams import Streams, dead_letter_topics, decoders, opened_streams
from services.cli.terminal import printable_lines
from services.domain.dead_letters import ReplayState, StoredLetter
from services.domain.errors import CatalogDown, InvalidRequest
from services.domain.stored_records import Position, parse_position
from services.domain.streams import DeadLetter

Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output instead of text.")]
Topic = Annotated[str | None, typer.Option(help="Of events, items or users. Unset: of all.")]
LABEL_WIDTH: Final = 17  # larger: less room for what follows; smaller: full_size_bytes does not fit
LetterId = Annotated[str, typer.Argument(metavar="ID", help="As `nightjar dlq list` shows it: topic/partition/offset.")]


def list_letters(
    topic: Topic = None,
    reason: Annotated[str | None, typer.Option(help="Only those that died of it, such as unknown_type.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most, newest first in each topic.")] = 20,
    as_json: Json = False,
) -> None:
    """Lists the dead letters that Kafka still holds.

    Example: nightjar dlq list --topic events --reason unknown_type
    """
    with opened_streams() as streams:
        topics = dead_letter_topics(streams.settings, topic)
        found = _of_reason(chain.from_iterable(streams.letters.newest_first(each) for each in topics), reason)
        letters = list(islice(found if as_json else map(_without_value, found), limit))
        num_kept = _num_kept(streams, topics)
        states = _states(streams, letters)
    if as_json:
        documents = [document_of(letter, states.get(letter.position)) for letter in letters]
        typer.echo(json.dumps({"kept": num_kept, "letters": documents}))
        return
    if letters:
        Console().print(table(letters, states))
    for name, count in num_kept.items():
        typer.echo(f"{name} holds {count:,} dead letters.", err=bool(letters))


def show(letter_id: LetterId, as_json: Json = False) -> None:
    """Shows one dead letter: where its record was, why it died, and all that it holds.

    Example: nightjar dlq show nightjar.events.v1.dlq/0/17
    """
    with opened_streams() as streams:
        letter = letter_named(letter_id, streams.letters)
        states = _states(streams, [letter])
        now_dead = _dies_still(letter, streams)
    if as_json:
        headers = {name: text_of(content) for name, content in letter.headers.items()}
        typer.echo(json.dumps(document_of(letter, states.get(letter.position)) | {"headers": headers, "now": now_dead}))
        return
    for name, content in (document_of(letter, states.get(letter.position)) | {"now": now_dead}).items():
        if content not in (None, ""):
            typer.echo(f"{name + ':':{LABEL_WIDTH}}{printable_lines(str(content), LABEL_WIDTH)}")


def letter_named(letter_id: str, letters: KafkaLetters) -> StoredLetter:
    """Raises InvalidRequest when nothing of that name is kept."""
    position = parse_position(letter_id)
    if position is None:
        raise InvalidRequest("ID", f"{letter_id!r} is not topic/partition/offset, as `nightjar dlq list` shows it")
    letter = letters.find(position)
    if letter is None:
        raise InvalidRequest("ID", f"{letter_id!r} is kept nowhere; `nightjar dlq list` shows what is")
    return letter


def _of_reason(letters: Iterator[StoredLetter], reason: str | None) -> Iterator[StoredLetter]:
    return (letter for letter in letters if reason in (None, letter.reason))


def _without_value(letter: StoredLetter) -> StoredLetter:
    """What a table shows; a value may be as large as a megabyte."""
    return replace(letter, value=None)


def _num_kept(streams: Streams, topics: Sequence[str]) -> dict[str, int]:
    partitions = streams.cluster.partitions(topics)
    kept = streams.cluster.ranges(chain.from_iterable(partitions.values()))
    return {topic: sum(len(kept[each]) for each in partitions.get(topic, ())) for topic in topics}


def _states(streams: Streams, letters: Sequence[StoredLetter]) -> Mapping[Position, str]:
    """Whether each was sent again; nothing of a letter that was not, or when the catalog does not answer."""
    sources = {letter.position: letter.source for letter in letters if letter.source is not None}
    try:
        known = SqlReplayMemory(connect(streams.settings.database_url)).recall(set(sources.values()))
    except CatalogDown:
        return dict.fromkeys(sources, "unknown: no catalog")
    words = {ReplayState.SENT: "yes", ReplayState.SENDING: "begun"}
    return {position: words[known[source].state] for position, source in sources.items() if source in known}


def _dies_still(letter: StoredLetter, streams: Streams) -> str:
    decode = decoders(streams.settings).get(letter.source_topic)
    if decode is None or letter.source is None:
        return "not a topic of these settings"
    if letter.full_size_bytes is not None:
        return "cut: `nightjar dlq replay` needs --file with the whole record"
    outcome = decode(as_it_was(letter))
    if isinstance(outcome, DeadLetter):
        return f"would die again: {outcome.reason.value}: {outcome.detail}"
    return f"would pass: {outcome}"
