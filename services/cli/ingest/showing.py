"""A status of the way in for people and for machines."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from services.domain.dead_letters import DEAD_LETTER_SUFFIX
from services.domain.streams import Counts
from services.ingest.status import IngestStatus, PartitionStatus
from services.ingest.troubles import Trouble


def document_of(status: IngestStatus, rates: Mapping[str, float | None], troubles: Sequence[Trouble]) -> dict[str, Any]:
    """One JSON object; times are ISO 8601 in UTC, rates are records a second, unknown is null."""
    return {
        "time": status.time.isoformat(),
        "ok": not any(trouble.failing for trouble in troubles),
        "partitions": [_partition_document(each) for each in status.partitions],
        "totals": {**_counts(status.counts), "conserved": status.conserved},
        "watermark": _iso(status.watermark),
        "offline_events_per_s": rates.get("offline"),
        "online_events_per_s": rates.get("online"),
        "writers": {
            writer.name: {
                "topic": writer.topic,
                "members": writer.num_members,
                "lag": writer.lag,
                "per_s": rates.get(writer.name),
            }
            for writer in status.writers
        },
        "dead_letters": dict(status.dead_letters),
        "log": None
        if status.log is None
        else {"version": status.log.version, "commit_time": status.log.commit_time.isoformat()},
        "redis_answers": status.redis_answers,
        "troubles": [{"sentence": each.sentence, "failing": each.failing} for each in troubles],
    }


def screen_of(status: IngestStatus, rates: Mapping[str, float | None], troubles: Sequence[Trouble]) -> Group:
    """Two tables, a few lines, and what is wrong."""
    return Group(
        _partitions_table(status),
        _writers_table(status, rates),
        Text(_log_line(status)),
        Text(_watermark_line(status)),
        Text(_conservation_line(status)),
        *(_trouble_line(trouble) for trouble in troubles),
        *([] if troubles else [Text("Nothing is wrong.", style="green")]),
    )


def _partition_document(status: PartitionStatus) -> dict[str, Any]:
    return {
        "topic": status.partition.topic,
        "partition": status.partition.number,
        **_counts(status.progress.counts),
        "first_offset": status.kept.first,
        "next_offset": status.progress.next_offset,
        "end_offset": status.kept.end,
        "offline_lag": status.offline_lag,
        "online_lag": status.online_lag,
        "lost": status.num_lost,
        "events_per_s": status.events_per_s,
        "watermark": _iso(status.watermark),
    }


def _partitions_table(status: IngestStatus) -> Table:
    """Narrow enough for 80 columns; `--json` has the offsets."""
    shown = Table(box=SIMPLE_HEAD, padding=0, title=escape(_title(status)), title_justify="left")
    for name in ("part", "read", "logged", "dead", "dupl", "log lag", "online lag", "per s", "watermark"):
        shown.add_column(name, justify="right", no_wrap=True)
    for each in status.partitions:
        shown.add_row(
            str(each.partition.number),
            *_numbers(each.progress.counts),
            f"{each.offline_lag:,}",
            f"{each.online_lag:,}",
            _rate(each.events_per_s),
            _relative(each.watermark, status.time),
        )
    if len(status.partitions) > 1:
        lags = [sum(each.offline_lag for each in status.partitions), sum(each.online_lag for each in status.partitions)]
        shown.add_section()
        shown.add_row(
            "all",
            *_numbers(status.counts),
            *(f"{lag:,}" for lag in lags),
            _rate(status.events_per_s),
            _relative(status.watermark, status.time),
        )
    return shown


def _title(status: IngestStatus) -> str:
    return status.partitions[0].partition.topic if status.partitions else "no partitions"


def _writers_table(status: IngestStatus, rates: Mapping[str, float | None]) -> Table:
    shown = Table("writer", "reads", box=SIMPLE_HEAD)
    for name in ("processes", "behind", "per s", "dead letters"):
        shown.add_column(name, justify="right")
    for writer in status.writers:
        num_dead = status.dead_letters.get(writer.topic + DEAD_LETTER_SUFFIX, 0) if writer.name != "online" else None
        shown.add_row(
            writer.name,
            escape(writer.topic),
            str(writer.num_members),
            f"{writer.lag:,}",
            _rate(rates.get(writer.name)),
            "" if num_dead is None else f"{num_dead:,}",
        )
    return shown


def _log_line(status: IngestStatus) -> str:
    if status.log is None:
        return "The log has no commit yet."
    age = _age(status.time - status.log.commit_time)
    rate = "no records in the last minute" if status.events_per_s is None else f"{status.events_per_s:,.1f} events/s"
    return f"The log is at version {status.log.version:,}, committed {age} ago; {rate}."


def _watermark_line(status: IngestStatus) -> str:
    if status.watermark is None:
        return "No event is logged yet, so there is no watermark."
    behind = _relative(status.watermark, status.time)
    return (
        f"Watermark: {status.watermark:%Y-%m-%d %H:%M:%S} UTC, {behind}: every partition holds an event of then or "
        "newer; late ones may still come."
    )


def _conservation_line(status: IngestStatus) -> str:
    counts = status.counts
    holds = "holds" if status.conserved else "DOES NOT HOLD"
    return (
        f"read {counts.read:,} = logged {counts.logged:,} + dead {counts.dead:,} + duplicate {counts.duplicate:,}: "
        f"{holds}."
    )


def _trouble_line(trouble: Trouble) -> Text:
    return Text(("✘ " if trouble.failing else "– ") + trouble.sentence, style="red" if trouble.failing else "yellow")


def _counts(counts: Counts) -> dict[str, int]:
    return {"read": counts.read, "logged": counts.logged, "dead": counts.dead, "duplicate": counts.duplicate}


def _numbers(counts: Counts) -> list[str]:
    return [f"{number:,}" for number in _counts(counts).values()]


def _rate(per_s: float | None) -> str:
    return "" if per_s is None else f"{per_s:,.1f}"


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _relative(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return "none yet"
    behind = now - moment
    return f"{_age(behind)} ago" if behind >= timedelta() else f"{_age(-behind)} ahead"


def _age(span: timedelta) -> str:
    seconds = max(span.total_seconds(), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
