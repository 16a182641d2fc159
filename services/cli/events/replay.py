"""`nightjar events replay`: events of the log go to a topic again."""

import json
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from nightjar import EventProducer
from services import logs
from services.adapters.kafka_cluster import KafkaCluster
from services.cli.moments import moment_of
from services.cli.sdk_errors import as_domain_errors
from services.cli.streams import connected_to_kafka
from services.domain.errors import InvalidRequest
from services.domain.event_selection import LoggedEvents, Selection
from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.streams import Partition
from services.process import stop_on_signals
from services.settings import Settings, load

if TYPE_CHECKING:
    from services.adapters.delta_log import DeltaEventLog

MAX_BLOCK_S: Final = 10.0  # larger: a broker that is away is told late; smaller: a busy one looks away
INTERRUPTED: Final = 130


def replay(
    since: Annotated[str, typer.Option(help="From this event time on, ISO 8601 with a zone or an age such as 2h.")],
    until: Annotated[
        str | None, typer.Option(help="Before this event time, ISO 8601 or an age. Unset: to the last.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    to_topic: Annotated[str | None, typer.Option(help="A topic that exists. Unset: the events topic itself.")] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Event seconds a second: 1 is the pace they came at; 0 does not wait.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count them and send nothing.")] = False,
) -> None:
    """Sends events of the log to a topic again, in the order of their times, with the ids they have.

    In the events topic they are duplicates: the log counts them and stores none, and no history changes. So it refuses
    events older than the ids that the writer remembers; send those to another topic. What is popular and trending
    remembers fewer: it says how many count there again, which `nightjar features rebuild` sets right.

    Example: nightjar events replay --since 1h --dry-run

    Example: nightjar events replay --since 2026-01-31T12:00:00Z --until 2026-01-31T13:00:00Z --to-topic try --speed 60
    """
    from services.adapters.delta_log import DeltaEventLog  # a second of imports that --help spares

    settings, now = load(), datetime.now(UTC)
    logs.configure(settings.log_level, "nightjar")
    log = DeltaEventLog(settings.log_folder)
    selection = Selection(
        since_us=_us(moment_of("--since", since, now)),
        until_us=None if until is None else _us(moment_of("--until", until, now)),
        user_ids=None if user is None else frozenset([UserId(user)]),
    )
    topic = to_topic or settings.kafka.events_topic
    if topic == settings.kafka.events_topic:
        _check_that_ids_are_remembered(selection, log, settings)
    version = log.version()
    counters = _Counters(log, settings)
    events = counters.watched(log.scan(version, selection))
    result: dict[str, object] = {"topic": topic, "log_version": version, "dry_run": dry_run}
    num_sent, interrupted = (sum(1 for _ in events), False) if dry_run else _send(events, topic, speed, settings)
    result |= {"events": num_sent, "interrupted": interrupted}
    if topic == settings.kafka.events_topic:
        result["counted_again"] = counters.num_forgotten
        if counters.num_forgotten:
            typer.echo(
                f"{counters.num_forgotten:,} of them lie further back than what is popular and trending remembers, and "
                "count there again: `nightjar features rebuild` sets that right.",
                err=True,
            )
    typer.echo(json.dumps(result))
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _send(events: Iterator[Interaction], topic: str, speed: float, settings: Settings) -> tuple[int, bool]:
    """How many were sent, and whether a signal ended it before the last; what was sent is stored either way."""
    from services.ingest.pacing import paced, to_message

    _, servers = connected_to_kafka(settings)
    with KafkaCluster(servers) as cluster:
        if not cluster.partitions([topic]):
            raise InvalidRequest("--to-topic", f"{topic!r} does not exist; make it first")
    stop, begun, num_sent = stop_on_signals(), time.monotonic(), 0
    with (
        as_domain_errors(),
        EventProducer(servers, events_topic=topic, max_block_s=MAX_BLOCK_S) as producer,
        Progress(
            SpinnerColumn(), TextColumn("{task.completed:,} events"), console=Console(stderr=True), transient=True
        ) as bar,
    ):
        task = bar.add_task("replay", total=None)
        for event in paced(events, speed, lambda: time.monotonic() - begun, stop.wait):
            producer.send(to_message(event))
            num_sent += 1
            bar.advance(task)
    return num_sent, stop.is_set()


class _Counters:
    """How many of the events that pass are no longer known to the counters, as what they counted already."""

    def __init__(self, log: "DeltaEventLog", settings: Settings) -> None:
        self._log = log
        self._topic = settings.kafka.events_topic
        self._num_remembered = settings.redis.counter_dedupe_offsets
        self._ends: dict[Partition, int] = {}
        self.num_forgotten = 0

    def watched(self, parts: Iterable[LoggedEvents]) -> Iterator[Interaction]:
        for part in parts:
            for event, source in zip(part.interactions, part.sources, strict=True):
                self.num_forgotten += source is None or self._is_forgotten(*source)
                yield event

    def _is_forgotten(self, partition: Partition, offset: int) -> bool:
        if partition.topic != self._topic:
            return True
        if partition not in self._ends:
            self._ends[partition] = self._log.progress([partition])[partition].next_offset
        return offset < self._ends[partition] - self._num_remembered


def _check_that_ids_are_remembered(selection: Selection, log: "DeltaEventLog", settings: Settings) -> None:
    """Both bounds of the writer's memory: a span of event time, and a number of ids, of which the newest stay."""
    from services.ingest.dedupe import num_never_forgotten

    num_kept = num_never_forgotten(settings.ingest.dedupe_max_ids)
    if not num_kept:
        raise InvalidRequest(
            "--to-topic",
            "is needed: with NIGHTJAR_INGEST__DEDUPE_MAX_IDS=0 the writer finds no duplicates, and the log would hold "
            "those events twice",
        )
    newest_us = next((times[0] for _, times in log.recent_ids(0) if len(times)), None)
    window_us = settings.ingest.dedupe_window_s * 1_000_000
    if newest_us is not None and (selection.since_us or 0) < newest_us - window_us:
        oldest = datetime.fromtimestamp((newest_us - window_us) / 1_000_000, UTC)
        raise InvalidRequest(
            "--since",
            f"lies before {oldest:%Y-%m-%dT%H:%M:%SZ}, where the writer's memory of event ids begins: the log would "
            "hold those events twice. Begin later, or name another topic with --to-topic",
        )
    if newest_us is not None and log.num_events() > num_kept:
        _check_that_so_many_are_remembered(num_kept, newest_us, selection.since_us or 0, log)


def _check_that_so_many_are_remembered(num_kept: int, newest_us: int, since_us: int, log: "DeltaEventLog") -> None:
    """All of the log's events from then on count, also those that are not asked for."""
    num_since = sum(len(times) for _, times in log.recent_ids(newest_us - since_us))
    if num_since > num_kept:
        raise InvalidRequest(
            "--since",
            f"the log has {num_since:,} events from then on, and the writer is sure to remember the ids of the newest "
            f"{num_kept:,} (a sixteenth less than NIGHTJAR_INGEST__DEDUPE_MAX_IDS): the log would hold the others "
            "twice. Begin later, or name another topic with --to-topic",
        )


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
