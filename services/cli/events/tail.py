"""`nightjar events tail`: the events as they come."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from services.cli.moments import moment_of
from services.cli.streams import Decode, Streams, decoders, opened_streams
from services.cli.terminal import printable
from services.domain.clock import SystemClock
from services.domain.errors import InvalidRequest, NotRunning
from services.domain.interactions import Interaction
from services.domain.streams import DeadLetter, Partition, Record
from services.process import stop_on_signals

WAIT_S = 0.2  # larger: slow to stop, and to see a first event; smaller: idle CPU


def tail(
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    item: Annotated[str | None, typer.Option(help="Only those on this item.")] = None,
    event_type: Annotated[str | None, typer.Option("--type", help="Only those of this type.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Begin with records of this age or time, such as 10m. Unset: with the next one.")
    ] = None,
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Begin with the oldest in Kafka.")] = False,
    limit: Annotated[int, typer.Option(min=0, help="End after so many; 0: go on until Ctrl-C.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Shows events as they come, and what is wrong with those that the writers will refuse. Ctrl-C ends it.

    Nobody's progress changes. With --user, --item or --type, records that say no such thing are passed over.

    Example: nightjar events tail --since 10m --type rating
    """
    if from_beginning and since is not None:
        raise InvalidRequest("--since", "cannot stand beside --from-beginning")
    moment = None if since is None else moment_of("--since", since, SystemClock().now())
    stop = stop_on_signals()
    num_shown = 0
    with opened_streams() as streams:
        offsets = _start(streams, moment, from_beginning=from_beginning)
        decode = decoders(streams.settings)[streams.settings.kafka.events_topic]
        for records in streams.reader.follow(offsets, WAIT_S):
            ordered = sorted((each.record for each in records), key=lambda record: record.timestamp_us or 0)
            wanted = {"user_id": user, "item_id": item, "event_type": event_type}
            for record, decoded in _selected(ordered, decode, wanted):
                if stop.is_set() or (limit and num_shown == limit):
                    break
                typer.echo(_line(record, decoded, as_json=as_json))
                num_shown += 1
            if stop.is_set() or (limit and num_shown == limit):
                return


def _start(streams: Streams, moment: datetime | None, *, from_beginning: bool) -> Mapping[Partition, int]:
    topic = streams.settings.kafka.events_topic
    partitions = streams.cluster.partitions([topic]).get(topic)
    if partitions is None:
        raise NotRunning(f"The topic {topic} does not exist; `nightjar up` makes it.")
    if moment is not None:
        return streams.cluster.offsets_at(int(moment.timestamp() * 1_000_000), partitions)
    kept = streams.cluster.ranges(partitions)
    return {partition: held.first if from_beginning else held.end for partition, held in kept.items()}


def _selected(
    records: list[Record], decode: Decode, wanted: Mapping[str, str | None]
) -> Iterator[tuple[Record, Interaction | DeadLetter]]:
    asked = {name: word for name, word in wanted.items() if word is not None}
    for record in records:
        decoded = decode(record)
        if isinstance(decoded, DeadLetter) and asked:
            continue
        if isinstance(decoded, Interaction | DeadLetter) and all(
            getattr(decoded, name) == word for name, word in asked.items()
        ):
            yield record, decoded


def _line(record: Record, decoded: Interaction | DeadLetter, *, as_json: bool) -> str:
    if as_json:
        place = {"partition": record.partition.number, "offset": record.offset}
        return json.dumps(place | _document(decoded))
    place_text = f"[{record.partition.number}/{record.offset}]"
    if isinstance(decoded, DeadLetter):
        return printable(f"{'dead':19}  {decoded.reason.value}: {decoded.detail}  {place_text}")
    value = "" if decoded.value is None else f" {decoded.value:g}"
    words = f"{decoded.user_id}  {decoded.event_type}{value}  {decoded.item_id}"
    return printable(f"{_time(decoded.event_time_us):%Y-%m-%d %H:%M:%S}  {words}  {place_text}")


def _document(decoded: Interaction | DeadLetter) -> dict[str, Any]:
    """An event in the field names of nightjar.v1.Event, without those it has not set."""
    if isinstance(decoded, DeadLetter):
        return {"dead": decoded.reason.value, "detail": decoded.detail}
    event = {
        "event_id": decoded.event_id,
        "user_id": decoded.user_id,
        "item_id": decoded.item_id,
        "type": decoded.event_type,
        "event_time": _time(decoded.event_time_us).isoformat().replace("+00:00", "Z"),
        "value": decoded.value,
        "session_id": decoded.session_id or None,
        "request_id": decoded.request_id or None,
        "position": decoded.position,
        "surface": decoded.surface or None,
        "attributes": dict(decoded.attributes) or None,
    }
    return {"event": {name: content for name, content in event.items() if content is not None}}


def _time(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)
