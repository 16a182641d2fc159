"""What is wrong with the way in, in one sentence each, with what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.ingest.status import IngestStatus, PartitionStatus, WriterStatus, is_conserved

# An open lag is said once a person might wonder. Larger: said late; smaller: said of every healthy, busy writer.
WORTH_SAYING: Final = 1_000


class Subject(StrEnum):
    """What a trouble is of, for those who look at that by themselves."""

    TOPIC = "topic"
    REDIS = "redis"
    WAY_IN = "way in"


@dataclass(frozen=True, slots=True)
class Trouble:
    sentence: str
    failing: bool = True
    """False: it goes on by itself, or can wait."""
    subject: Subject = Subject.WAY_IN


def rates_of(status: IngestStatus, earlier: IngestStatus | None) -> Mapping[str, float | None]:
    """Records/s of each writer since an earlier look; None without one. Of the offline writer, of the last minute."""
    before = {} if earlier is None else {writer.name: writer.position for writer in earlier.writers}
    elapsed_s = 0.0 if earlier is None else (status.time - earlier.time).total_seconds()
    rates: dict[str, float | None] = {
        writer.name: (writer.position - before[writer.name]) / elapsed_s
        if writer.name in before and elapsed_s > 0
        else None
        for writer in status.writers
    }
    return rates | {"offline": status.events_per_s}


def troubles_of(status: IngestStatus, rates: Mapping[str, float | None]) -> Iterator[Trouble]:
    """The worst first."""
    for topic in status.missing_topics:
        yield Trouble(
            f"The topic {topic} does not exist: `nightjar up` makes it, or make it as the guide says.",
            subject=Subject.TOPIC,
        )
    for partition in status.partitions:
        yield from _of_partition(partition)
    yield from _of_redis(status)
    silent = [writer for writer in status.writers if not writer.num_members]
    if len(silent) == len(status.writers):
        yield Trouble("No writer runs, so nothing is logged or served fresh: is `nightjar up` running?")
    else:
        for writer in silent:
            yield Trouble(f"No {writer.name} writer runs: `nightjar status` says why, and so does its log.")
    for writer in status.writers:
        if writer.num_members and writer.lag:
            yield from _of_lag(writer, rates.get(writer.name), status)
    num_dead = sum(status.dead_letters.values())
    if num_dead:
        yield Trouble(f"{num_dead:,} dead letters are kept: `nightjar dlq list` shows why they died.", failing=False)


def _of_partition(status: PartitionStatus) -> Iterator[Trouble]:
    name = f"{status.partition.topic}/{status.partition.number}"
    if not is_conserved(status.progress.counts):
        yield Trouble(
            f"Of {name}, read is not logged + dead + duplicate in the log's own count: keep the log as it is, and "
            "report this as a defect."
        )
    if status.progress.next_offset > status.kept.end:
        yield Trouble(
            f"The log holds {name} up to offset {status.progress.next_offset:,}, but Kafka's ends at "
            f"{status.kept.end:,}: the topic was made anew. Use another topic name, or a new home for the log."
        )
    elif status.num_lost:
        yield Trouble(
            f"Kafka deleted {status.num_lost:,} records of {name} before they were logged: lengthen the topic's "
            "retention, or see that the offline writer runs."
        )


def _of_redis(status: IngestStatus) -> Iterator[Trouble]:
    if not status.redis_answers:
        yield Trouble(
            "Redis does not answer: recommendations come without fresh histories. Is it running?",
            subject=Subject.REDIS,
        )
        return
    incomplete = [each for each in status.partitions if (each.redis_fence or 0) < each.kept.first]
    set_back = [each for each in status.partitions if (each.redis_fence or 0) < each.online_committed]
    if incomplete:
        yield Trouble(
            f"Redis lacks events of {len(incomplete)} partitions that Kafka no longer holds: run "
            "`nightjar features rebuild`, which brings them back from the log."
        )
    elif set_back:
        num_again = sum(each.online_committed - (each.redis_fence or 0) for each in set_back)
        yield Trouble(
            f"Redis was emptied or restored: the online writer reads {num_again:,} records again, by itself.",
            failing=False,
        )


def _of_lag(writer: WriterStatus, per_s: float | None, status: IngestStatus) -> Iterator[Trouble]:
    silent = [each for each in status.partitions if each.silent]
    if writer.name == "offline" and status.log is None:
        yield Trouble(
            f"The log has no commit though {writer.lag:,} records wait: the offline writer's log says what holds it "
            "up.",
            failing=False,
        )
    elif writer.name == "offline" and silent:
        yield Trouble(
            f"The log took nothing from {len(silent)} of {len(status.partitions)} partitions for "
            f"{_span(status.silence.total_seconds())} or longer though {sum(each.offline_lag for each in silent):,} "
            "records wait there: the offline writer's log says what holds it up."
        )
    elif writer.lag >= WORTH_SAYING:
        begun = f"The {writer.name} writer is {writer.lag:,} records behind"
        if per_s is None:
            yield Trouble(f"{begun}; look again to see whether it gets on.", failing=False)
        elif per_s <= 0:
            yield Trouble(f"{begun} and does not get on: its log says what holds it up.")
        else:
            yield Trouble(
                f"{begun}; it does {per_s:,.0f}/s, so it has done them in {_span(writer.lag / per_s)} if no more come.",
                failing=False,
            )


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.0f} h"
