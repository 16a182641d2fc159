"""An event log in memory: every version is a tuple of rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from services.domain.errors import EventLogMoved, UnknownVersion
from services.domain.event_columns import EventColumns, Words
from services.domain.event_selection import EVERYTHING, LoggedEvents, Selection
from services.domain.ids import EventId
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch, Partition, Progress

STREAMED_ROWS = 50_000


def each_source(batch: LogBatch) -> Sequence[tuple[Partition, int]]:
    """Of each interaction; empty when they came from elsewhere."""
    return [(partition, offset) for partition, offsets in batch.sources for offset in offsets]


def columns_of(rows: Iterable[Interaction]) -> EventColumns:
    """The rows as columns, sorted as the port asks."""
    ordered = sorted(rows, key=lambda row: (row.event_time_us, row.event_id))
    return EventColumns(
        users=Words.of(row.user_id for row in ordered),
        items=Words.of(row.item_id for row in ordered),
        event_types=Words.of(row.event_type for row in ordered),
        event_times_us=np.array([row.event_time_us for row in ordered], dtype=np.int64),
        values=np.array([np.nan if row.value is None else row.value for row in ordered], dtype=np.float64),
    )


class FakeEventLog:
    """For one writer of its partitions, so it never conflicts; `store_beside` is what somebody else stores."""

    def __init__(self, rows: Iterable[Interaction] = ()) -> None:
        self._versions: list[tuple[Interaction, ...]] = []
        self._progress: dict[Partition, Progress] = {}
        self._sources: dict[EventId, tuple[Partition, int]] = {}
        self._of_others: list[Interaction] = []
        if initial := tuple(rows):
            self._versions.append(initial)

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
        return {each: self._progress[each] for each in partitions if each in self._progress}

    def store_beside(self, rows: Iterable[Interaction]) -> None:
        others = tuple(rows)
        self._of_others += others
        self._versions.append((*self._rows(), *others))

    def append(self, batch: LogBatch) -> int:
        if self._of_others:
            raise EventLogMoved("others stored events")
        self._versions.append((*self._rows(), *batch.interactions))
        self._sources |= {
            row.event_id: source for row, source in zip(batch.interactions, each_source(batch), strict=False)
        }
        self._progress.update(batch.progress)
        return self.version()

    def recent_ids(
        self, window_us: int, max_ids: int | None = None
    ) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        newest_us = max((row.event_time_us for row in self._rows()), default=0)
        recent = [row for row in self._rows() if row.event_time_us >= newest_us - window_us]
        newest_first = sorted(recent, key=lambda row: -row.event_time_us)[:max_ids]
        yield [row.event_id for row in newest_first], [row.event_time_us for row in newest_first]

    def ids_of_others(self) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        yield [row.event_id for row in self._of_others], [row.event_time_us for row in self._of_others]
        self._of_others = []

    def version(self) -> int:
        return len(self._versions) - 1

    def num_events(self) -> int:
        return len(self._rows())

    def read(self, version: int, until_us: int | None = None) -> EventColumns:
        return columns_of(self._selected(version, Selection(until_us=until_us)))

    def scan(self, version: int, selection: Selection = EVERYTHING) -> Iterator[LoggedEvents]:
        ordered = sorted(self._selected(version, selection), key=lambda row: (row.event_time_us, row.event_id))
        yield LoggedEvents(ordered, [self._sources.get(row.event_id) for row in ordered])

    def stream(self, version: int, selection: Selection = EVERYTHING) -> Iterator[EventColumns]:
        rows = tuple(self._selected(version, selection))
        for start in range(0, len(rows), STREAMED_ROWS):
            yield columns_of(rows[start : start + STREAMED_ROWS])

    def newest_time_us(self, version: int, until_us: int | None = None) -> int | None:
        times_us = (row.event_time_us for row in self._selected(version, Selection(until_us=until_us)))
        return max(times_us, default=None)

    def _selected(self, version: int, selection: Selection) -> Iterator[Interaction]:
        if version >= len(self._versions):
            raise UnknownVersion(f"there is no version {version}")
        for row in self._versions[version] if version >= 0 else ():
            if selection.since_us is not None and row.event_time_us < selection.since_us:
                continue
            if selection.until_us is not None and row.event_time_us >= selection.until_us:
                continue
            if selection.event_types is not None and row.event_type not in selection.event_types:
                continue
            if selection.user_ids is None or row.user_id in selection.user_ids:
                yield row

    def _rows(self) -> tuple[Interaction, ...]:
        return self._versions[-1] if self._versions else ()
