"""The log in the order of its topic, in memory: each append is a version."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from services.domain.event_selection import LoggedEvents
from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch, Partition
from tests.fakes.event_log import each_source

Row = tuple[Interaction, tuple[Partition, int] | None]


class FakeEventsByOffset:
    """Implements the EventsByOffset port."""

    def __init__(self) -> None:
        self._batches: list[LogBatch] = []

    def append(self, batch: LogBatch) -> int:
        self._batches.append(batch)
        return self.version()

    def version(self) -> int:
        return len(self._batches) - 1

    def num_events(self, version: int) -> int:
        return len(self._rows(version))

    def next_offsets(self, version: int, topic: str) -> Mapping[Partition, int]:
        found: dict[Partition, int] = {}
        for batch in self._batches[: version + 1]:
            found |= {each: progress.next_offset for each, progress in batch.progress.items() if each.topic == topic}
        return found

    def users_since(self, version: int, since_us: int) -> Collection[UserId]:
        return {event.user_id for event, _ in self._rows(version) if event.event_time_us >= since_us}

    def read(self, version: int, partition: Partition, from_offset: int, next_offset: int) -> Iterator[LoggedEvents]:
        rows = [(event, source) for event, source in self._rows(version) if source and source[0] == partition]
        rows = sorted((row for row in rows if from_offset <= _offset(row) < next_offset), key=_offset)
        for start in range(0, len(rows), 2):
            yield _logged(rows[start : start + 2])

    def read_others(self, version: int, topic: str) -> Iterator[LoggedEvents]:
        rows = [row for row in self._rows(version) if row[1] is None or row[1][0].topic != topic]
        if rows:
            yield _logged(rows)

    def _rows(self, version: int) -> list[Row]:
        rows: list[Row] = []
        for batch in self._batches[: version + 1]:
            nowhere: list[tuple[Partition, int] | None] = [None] * len(batch.interactions)
            sources: Sequence[tuple[Partition, int] | None] = each_source(batch) or nowhere
            rows += zip(batch.interactions, sources, strict=True)
        return rows


def _offset(row: Row) -> int:
    assert row[1] is not None
    return row[1][1]


def _logged(rows: Sequence[Row]) -> LoggedEvents:
    return LoggedEvents([event for event, _ in rows], [source for _, source in rows])
