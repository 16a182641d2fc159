"""`nightjar dlq purge`: old dead letters are deleted for good."""

import json
from datetime import datetime
from itertools import chain
from typing import Annotated

import typer

from services.cli.dlq.listing import Topic
from services.cli.moments import moment_of
from services.cli.streams import dead_letter_topics, opened_streams
from services.domain.clock import SystemClock
from services.domain.errors import InvalidRequest


def purge(
    topic: Topic = None,
    before: Annotated[
        str | None, typer.Option(help="Those written before: ISO 8601 with a zone, or an age such as 7d. Unset: all.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete them; there is no way back.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many it would be, and delete none.")] = False,
) -> None:
    """Deletes dead letters up to a time. Kafka deletes from a topic's beginning on, so there is no choice by reason.

    Example: nightjar dlq purge --topic events --before 30d --dry-run
    """
    if yes == dry_run:
        raise InvalidRequest("--yes or --dry-run", "is needed: purging cannot be undone")
    until: datetime | None = None if before is None else moment_of("--before", before, SystemClock().now())
    with opened_streams() as streams:
        topics = dead_letter_topics(streams.settings, topic)
        partitions = list(chain.from_iterable(streams.cluster.partitions(topics).values()))
        kept = streams.cluster.ranges(partitions)
        ends = {partition: held.end for partition, held in kept.items()}
        if until is not None:
            ends = dict(streams.cluster.offsets_at(int(until.timestamp() * 1_000_000), partitions))
        counts = {each: max(ends[each] - kept[each].first, 0) for each in partitions}
        if yes:
            streams.cluster.delete_before({each: ends[each] for each, count in counts.items() if count})
    purged = {name: sum(count for each, count in counts.items() if each.topic == name) for name in topics}
    typer.echo(json.dumps({"dry_run": dry_run, "purged": purged}))
