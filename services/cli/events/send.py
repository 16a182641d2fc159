"""`nightjar events send`: one event of the options, or a file of them."""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from deploy.embedded.state import connected
from nightjar import Delivery, DeliveryReport, EventProducer
from nightjar.v1 import event_pb2
from services import logs
from services.cli.event_lines import completed, read_events
from services.cli.moments import exact_moment
from services.cli.sdk_errors import as_domain_errors
from services.domain.errors import InvalidRequest, NotRunning
from services.domain.event_types import EventTypes
from services.ingest.codec import Limits
from services.ingest.wiring import limits_of
from services.settings import load

MAX_BLOCK_S: Final = 5.0  # larger: a missing topic is told late; smaller: a busy broker looks like a missing one
MAX_WAITING: Final = 10_000  # larger: memory, and late reports; smaller: the file waits for Kafka


def send(
    user: Annotated[str | None, typer.Option(help="Who acted.")] = None,
    item: Annotated[str | None, typer.Option(help="On which item.")] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="What happened: a type the settings declare, such as view or rating.")
    ] = None,
    value: Annotated[
        float | None, typer.Option(help="A rating, seconds, a quantity. Unset: the type has none.")
    ] = None,
    time: Annotated[str | None, typer.Option(help="When, ISO 8601 with a zone. Unset: now.")] = None,
    event_id: Annotated[
        str | None, typer.Option(help="Sent twice, one id counts once. Unset: a new one, so every call counts.")
    ] = None,
    file: Annotated[
        str | None, typer.Option(help="Instead: a file of events, one JSON object a line; - is standard input.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the events and send nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object an event instead of a sentence.")] = False,
) -> None:
    """Sends events and says where Kafka keeps each.

    Example: nightjar events send --user 42 --item 50 --type rating --value 5

    Example: nightjar events send --file events.jsonl, with lines like
    {"user_id": "42", "item_id": "50", "type": "view"}.
    """
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    declared, limits = settings.declared_event_types(), limits_of(settings)
    with _events(file, user, item, event_type, value, time, event_id, declared, limits) as events:
        if dry_run:
            typer.echo(f"{sum(1 for _ in events)} events are well formed; nothing was sent.", err=as_json)
            return
        kafka = connected(settings, needs=("kafka",)).kafka
        if kafka.bootstrap_servers is None:
            raise NotRunning("The stack has no Kafka yet; wait until `nightjar status` shows it running.")
        with (
            as_domain_errors(),
            EventProducer(
                kafka.bootstrap_servers, events_topic=kafka.events_topic, max_block_s=MAX_BLOCK_S
            ) as producer,
        ):
            _send_all(producer, events, _print_json if as_json else _print_sentence)


@contextmanager
def _events(
    file: str | None,
    user: str | None,
    item: str | None,
    event_type: str | None,
    value: float | None,
    time: str | None,
    event_id: str | None,
    declared: EventTypes,
    limits: Limits,
) -> Iterator[Iterable[event_pb2.Event]]:
    """The one event of the options, or those of a file that stays open meanwhile."""
    if file is not None:
        if any(option is not None for option in (user, item, event_type, value, time, event_id)):
            raise InvalidRequest("--file", "cannot stand beside the options of a single event")
        with _lines(file) as lines:
            yield read_events(lines, declared, limits)
        return
    if user is None or item is None or event_type is None:
        raise InvalidRequest("--user, --item and --type", "are needed, or --file")
    event = event_pb2.Event(user_id=user, item_id=item, type=event_type, value=value, event_id=event_id or "")
    if time is not None:
        event.event_time.FromDatetime(exact_moment("--time", time))
    yield [completed(event, declared, limits)]


@contextmanager
def _lines(file: str) -> Iterator[Iterable[str]]:
    try:
        # Closed below; a `with` here would take a broken pipe of the body for a file that cannot be read.
        opened = sys.stdin if file == "-" else Path(file).open(encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise InvalidRequest("--file", f"{file!r} cannot be read: {error.strerror}") from error
    try:
        with opened:
            yield opened
    except UnicodeDecodeError as error:
        raise InvalidRequest("--file", f"{file!r} is not UTF-8 text: {error}") from error


def _send_all(
    producer: EventProducer, events: Iterable[event_pb2.Event], report: Callable[[DeliveryReport], None]
) -> None:
    """Sends and reports in order. A bad line ends it, after the reports of the events before that line."""
    waiting: deque[Delivery] = deque()
    try:
        for event in events:
            waiting.append(producer.send(event))
            while waiting and (waiting[0].done() or len(waiting) > MAX_WAITING):
                report(waiting.popleft().result())
    finally:
        while waiting:
            report(waiting.popleft().result())


def _print_json(report: DeliveryReport) -> None:
    document = {
        "event_id": report.record_id,
        "topic": report.topic,
        "partition": report.partition,
        "offset": report.offset,
    }
    typer.echo(json.dumps(document))


def _print_sentence(report: DeliveryReport) -> None:
    typer.echo(
        f"Event {report.record_id} is stored: {report.topic}, partition {report.partition}, offset {report.offset}."
    )
