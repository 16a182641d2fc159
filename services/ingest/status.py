"""How far the way in is: per partition what became of its records, per writer how far behind it is, and what to do.

Nothing here asks the writers themselves: the log's commits, the groups' offsets and the topics tell it all, so the
report is there too when nothing runs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final

from services.domain.dead_letters import DEAD_LETTER_SUFFIX
from services.domain.log_history import LogState
from services.domain.ports import Clock, LogHistory, StreamCluster
from services.domain.stored_records import OffsetRange
from services.domain.streams import Counts, Partition, Progress

RATE_WINDOW: Final = timedelta(seconds=60)  # larger: slow to show a change; smaller: single commits make it jump
LEAST_SILENCE: Final = timedelta(minutes=2)  # larger: a hung writer is told late; smaller: said of one long commit


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of the way in, and the consumer group of each writer that reads one."""

    events: str
    offline_group: str
    online_group: str
    catalogs: Mapping[str, str]
    """By writer, the topic it reads: items, users."""
    catalog_groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """One partition of the events topic."""

    partition: Partition
    kept: OffsetRange
    """What Kafka holds."""
    progress: Progress
    """What the log holds of it."""
    online_committed: int
    """Where the online writer last said that it reads on."""
    redis_fence: int | None
    """Up to where Redis itself has it; None when Redis does not answer."""
    events_per_s: float | None
    """Records the log took in the last minute; None when it took none of any partition."""
    silent: bool = False
    """Records have waited for longer than IngestStatus.silence, and the log took none of them meanwhile."""

    @property
    def offline_lag(self) -> int:
        return max(self.kept.end - max(self.progress.next_offset, self.kept.first), 0)

    @property
    def online_offset(self) -> int:
        """Where the online writer reads on: what Redis holds is the truth."""
        return self.online_committed if self.redis_fence is None else self.redis_fence

    @property
    def online_lag(self) -> int:
        return max(self.kept.end - max(self.online_offset, self.kept.first), 0)

    @property
    def num_lost(self) -> int:
        """Records that Kafka deleted before the log had them."""
        return max(self.kept.first - self.progress.next_offset, 0)

    @property
    def watermark(self) -> datetime | None:
        """The newest event time that the log holds of it."""
        watermark_us = self.progress.watermark_us
        return None if watermark_us is None else datetime.fromtimestamp(watermark_us / 1_000_000, UTC)


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """One writer: how many processes share its work, and how many records they have yet to do."""

    name: str
    topic: str
    num_members: int
    position: int
    """The sum of the offsets it reads on from."""
    lag: int


@dataclass(frozen=True, slots=True)
class IngestStatus:
    time: datetime
    partitions: tuple[PartitionStatus, ...]
    writers: tuple[WriterStatus, ...]
    dead_letters: Mapping[str, int]
    """By dead-letter topic, how many it holds."""
    missing_topics: tuple[str, ...]
    log: LogState | None
    redis_answers: bool
    silence: timedelta
    """How long records may wait, and the log take none of them, while its writer is well."""

    @property
    def counts(self) -> Counts:
        return sum((each.progress.counts for each in self.partitions), Counts())

    @property
    def events_per_s(self) -> float | None:
        rates = [each.events_per_s for each in self.partitions if each.events_per_s is not None]
        return sum(rates) if rates else None

    @property
    def watermark(self) -> datetime | None:
        """The smallest of the partitions' newest event times; late events from before it may still come."""
        return min((each.watermark for each in self.partitions if each.watermark is not None), default=None)

    @property
    def conserved(self) -> bool:
        """Law 1, in every partition."""
        return all(is_conserved(each.progress.counts) for each in self.partitions)


def is_conserved(counts: Counts) -> bool:
    return counts.read == counts.logged + counts.dead + counts.duplicate


def take_status(
    topics: Topics,
    cluster: StreamCluster,
    log: LogHistory,
    fences: Callable[[Sequence[Partition]], Mapping[Partition, int] | None],
    clock: Clock,
    commit_interval: timedelta,
) -> IngestStatus:
    """Looks at everything once. Blocks; raises BrokerDown and EventLogDown.

    commit_interval: the longest that a healthy offline writer keeps a row before its commit.
    """
    now = clock.now()
    names = [topics.events, *topics.catalogs.values()]
    found = cluster.partitions([*names, *(name + DEAD_LETTER_SUFFIX for name in names)])
    events = found.get(topics.events, ())
    newest, before = log.now(events), log.before(now - RATE_WINDOW, events)
    online = cluster.committed(topics.online_group, events)
    followers = {
        name: cluster.committed(topics.catalog_groups[name], found.get(topic, ()))
        for name, topic in topics.catalogs.items()
    }
    redis_fences = fences(events)
    # Last, so that nobody seems to be ahead of Kafka while records come in.
    kept = cluster.ranges(chain.from_iterable(found.values()))
    silence = max(LEAST_SILENCE, 2 * commit_interval)
    waiting = [each for each in events if kept[each].end > _progress(each, newest).next_offset]
    silent = _silent(waiting, cluster, log, newest, now - silence)
    moved = _moved(newest, before, now)
    partitions = tuple(
        PartitionStatus(
            partition=each,
            kept=kept[each],
            progress=_progress(each, newest),
            online_committed=online.get(each, 0),
            redis_fence=None if redis_fences is None else redis_fences.get(each, 0),
            events_per_s=_rate(each, newest, before) if moved else None,
            silent=each in silent,
        )
        for each in events
    )
    members = cluster.num_members([topics.offline_group, topics.online_group, *topics.catalog_groups.values()])
    return IngestStatus(
        time=now,
        partitions=partitions,
        writers=(
            _of_events("offline", topics, members[topics.offline_group], partitions),
            _of_events("online", topics, members[topics.online_group], partitions),
            *(
                _of_catalog(name, topic, members[topics.catalog_groups[name]], followers[name], found, kept)
                for name, topic in topics.catalogs.items()
            ),
        ),
        dead_letters={
            name + DEAD_LETTER_SUFFIX: sum(len(kept[each]) for each in found.get(name + DEAD_LETTER_SUFFIX, ()))
            for name in names
        },
        missing_topics=tuple(name for name in names if name not in found),
        log=newest,
        redis_answers=redis_fences is not None,
        silence=silence,
    )


def _progress(partition: Partition, state: LogState | None) -> Progress:
    nothing = Progress(0, Counts())
    return nothing if state is None else state.progress.get(partition, nothing)


def _silent(
    waiting: Sequence[Partition], cluster: StreamCluster, log: LogHistory, newest: LogState | None, since: datetime
) -> frozenset[Partition]:
    """Those whose next record is older than `since`, and of which the log took none from then on.

    A commit says nothing here: an import or housekeeping commits too while the writer hangs.
    """
    then = log.before(since, waiting) if waiting else None
    if then is None:
        return frozenset()
    stuck = [each for each in waiting if _progress(each, then) == _progress(each, newest)]
    young = cluster.offsets_at(int(since.timestamp() * 1_000_000), stuck)
    return frozenset(each for each in stuck if _progress(each, newest).next_offset < young[each])


def _moved(newest: LogState | None, before: LogState | None, now: datetime) -> bool:
    """Whether the log took any record within RATE_WINDOW."""
    if newest is None or newest.commit_time <= now - RATE_WINDOW:
        return False
    return newest.progress != ({} if before is None else before.progress)


def _rate(partition: Partition, newest: LogState | None, before: LogState | None) -> float:
    num_read = _progress(partition, newest).counts.read - _progress(partition, before).counts.read
    return num_read / RATE_WINDOW.total_seconds()


def _of_events(name: str, topics: Topics, num_members: int, partitions: Sequence[PartitionStatus]) -> WriterStatus:
    offline = name == "offline"
    position = sum(each.progress.next_offset if offline else each.online_offset for each in partitions)
    lag = sum(each.offline_lag if offline else each.online_lag for each in partitions)
    return WriterStatus(name, topics.events, num_members, position, lag)


def _of_catalog(
    name: str,
    topic: str,
    num_members: int,
    committed: Mapping[Partition, int],
    found: Mapping[str, Sequence[Partition]],
    kept: Mapping[Partition, OffsetRange],
) -> WriterStatus:
    lag = sum(max(kept[each].end - max(committed.get(each, 0), kept[each].first), 0) for each in found.get(topic, ()))
    return WriterStatus(name, topic, num_members, sum(committed.values()), lag)
