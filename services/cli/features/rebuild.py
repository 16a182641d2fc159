"""`nightjar features rebuild`: Redis again from the log."""

import json
from collections.abc import Mapping
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy.embedded.state import connected
from services import logs
from services.domain.counters import shard_of
from services.domain.streams import Partition
from services.settings import Settings, load


def rebuild(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be read and where writers would go on; change nothing.")
    ] = False,
) -> None:
    """Makes the histories and counters in Redis again from the log, while serving and the writers go on.

    Repeating it changes nothing. Needed after Redis lost what Kafka has forgotten by now, after events were imported
    into the log, and after event types were given other weights.

    Example: nightjar features rebuild --dry-run
    """
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    settings = connected(settings, needs=("redis",))
    _print(_plan(settings) if dry_run else _run(settings))


def _plan(settings: Settings) -> Mapping[str, object]:
    from services.features.wiring import open_counters, open_log  # pyarrow: a second that other commands spare

    log, counters = open_log(settings), open_counters(settings)
    version = log.version()
    target = log.next_offsets(version, settings.kafka.events_topic) if version >= 0 else {}
    now = counters.fences([shard_of(partition) for partition in target])
    counters.close()
    return {
        "dry_run": True,
        "version": version,
        "num_events": log.num_events(version),
        "partitions": {
            _name(partition): {"fence": now[shard_of(partition)], "fence_then": offset}
            for partition, offset in target.items()
        },
    }


def _run(settings: Settings) -> Mapping[str, object]:
    from services.features.wiring import open_log
    from services.features.wiring import rebuild as run

    log = open_log(settings)
    num_events = log.num_events(log.version())
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("events", total=num_events)
        rebuilt = run(settings, lambda read: progress.update(task, completed=read, total=max(num_events, read)))
    return {
        "dry_run": False,
        "version": rebuilt.first_version,
        "last_version": rebuilt.last_version,
        "num_events": rebuilt.num_events,
        "num_imported": rebuilt.num_imported,
        "partitions": {_name(partition): {"fence": offset} for partition, offset in rebuilt.fences.items()},
    }


def _name(partition: Partition) -> str:
    return f"{partition.topic}/{partition.number}"


def _print(document: Mapping[str, object]) -> None:
    typer.echo(json.dumps(document))
