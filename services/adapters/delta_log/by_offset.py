"""The log in the order of its topic: each Kafka partition's events by their offsets, and the imported ones."""

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from services.adapters.delta_log.interactions import BATCH_ROWS, to_logged_events
from services.adapters.delta_log.log import DeltaEventLog, next_offset_of
from services.adapters.delta_log.reading import local_dataset, open_version, time_between
from services.adapters.delta_log.rows import SCHEMA
from services.domain.errors import EventLogDown
from services.domain.event_selection import LoggedEvents
from services.domain.ids import UserId
from services.domain.streams import Partition

# Rows sorted, and so held, at a time, about 300 bytes each. Larger: more memory; smaller: files are asked more often.
_SORT_ROWS: Final = 500_000
_STEP: Final = 16_384  # offsets counted together. Larger: ranges less even; smaller: more numbers to hold
# Larger: each is asked for; smaller: a partition that has had dead records alone is left as it is in Redis.
_UNSEEN_PARTITIONS: Final = 64


class DeltaEventsByOffset:
    """Implements the EventsByOffset port on the folder of the log; blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def version(self) -> int:
        return DeltaEventLog(self._folder).version()

    def num_events(self, version: int) -> int:
        return 0 if version < 0 else open_version(self._folder, version).count()

    def next_offsets(self, version: int, topic: str) -> Mapping[Partition, int]:
        table = open_version(self._folder, version)
        found = {}
        for number in range(_last_partition(local_dataset(table, self._folder)) + 1 + _UNSEEN_PARTITIONS):
            next_offset = next_offset_of(table, Partition(topic, number))
            if next_offset is not None:
                found[Partition(topic, number)] = next_offset
        return found

    def users_since(self, version: int, since_us: int) -> Collection[UserId]:
        dataset = local_dataset(open_version(self._folder, version), self._folder)
        first_date = datetime.fromtimestamp(since_us // 1_000_000, UTC).date()
        recent = (pc.field("event_date") >= first_date) & time_between(since_us, None)
        found: set[UserId] = set()
        try:
            for batch in dataset.to_batches(columns=["user_id"], filter=recent):
                found.update(map(UserId, pc.unique(batch["user_id"]).to_pylist()))
        except (OSError, pa.ArrowException) as error:
            raise _down(error) from error
        return found

    def read(self, version: int, partition: Partition, from_offset: int, next_offset: int) -> Iterator[LoggedEvents]:
        dataset = local_dataset(open_version(self._folder, version), self._folder)
        for start, end in _ranges(dataset, _between(partition, from_offset, next_offset)):
            within = _between(partition, max(start, from_offset), min(end, next_offset))
            for rows in _table(dataset, within).sort_by("source_offset").to_batches(BATCH_ROWS):
                yield to_logged_events(rows)

    def read_others(self, version: int, topic: str) -> Iterator[LoggedEvents]:
        dataset = local_dataset(open_version(self._folder, version), self._folder)
        try:
            for rows in dataset.to_batches(
                columns=SCHEMA.names, filter=_is_from_elsewhere(topic), batch_size=BATCH_ROWS
            ):
                if len(rows):
                    yield to_logged_events(rows)
        except (OSError, pa.ArrowException) as error:
            raise _down(error) from error


def _last_partition(dataset: ds.Dataset) -> int:
    """The largest number of a partition that has events; -1 without any."""
    last = -1
    try:
        for batch in dataset.to_batches(columns=["source_partition"]):
            largest = pc.max(batch["source_partition"]).as_py()
            last = last if largest is None else max(last, largest)
    except (OSError, pa.ArrowException) as error:
        raise _down(error) from error
    return last


def _between(partition: Partition, from_offset: int, next_offset: int) -> pc.Expression:
    offset = pc.field("source_offset")
    is_of_it = (pc.field("source_topic") == partition.topic) & (pc.field("source_partition") == partition.number)
    return is_of_it & (offset >= from_offset) & (offset < next_offset)


def _is_from_elsewhere(topic: str) -> pc.Expression:
    """A file, or a topic that was read before this one."""
    return pc.field("source_topic").is_null() | (pc.field("source_topic") != topic)


def _ranges(dataset: ds.Dataset, within: pc.Expression) -> Iterator[tuple[int, int]]:
    """Ranges of offsets, ascending, with at most about _SORT_ROWS rows each, where there are any."""
    counts: dict[int, int] = {}
    try:
        for batch in dataset.to_batches(columns=["source_offset"], filter=within):
            steps, rows = np.unique(batch["source_offset"].to_numpy() // _STEP, return_counts=True)
            for step, num_rows in zip(steps.tolist(), rows.tolist(), strict=True):
                counts[step] = counts.get(step, 0) + num_rows
    except (OSError, pa.ArrowException) as error:
        raise _down(error) from error
    held: list[int] = []
    num_held = 0
    for step in sorted(counts):
        if held and num_held + counts[step] > _SORT_ROWS:
            yield held[0] * _STEP, (held[-1] + 1) * _STEP
            held, num_held = [], 0
        held.append(step)
        num_held += counts[step]
    if held:
        yield held[0] * _STEP, (held[-1] + 1) * _STEP


def _table(dataset: ds.Dataset, within: pc.Expression) -> pa.Table:
    try:
        return dataset.to_table(columns=SCHEMA.names, filter=within)
    except (OSError, pa.ArrowException) as error:
        raise _down(error) from error


def _down(error: Exception) -> EventLogDown:
    return EventLogDown(f"The event log cannot be read ({error}); mend its disk.")
