"""Fakes around a stream: a topic in memory, dead letters in a list, and makers of records."""

import json
from collections.abc import Callable, Mapping, Sequence

from services.domain.ports import PartitionListener
from services.domain.streams import DeadLetter, Partition, Record

PARTITION = Partition("nightjar.events.v1", 0)


class FakeRecordSource:
    """A topic held in memory; a new instance is a consumer that was restarted."""

    def __init__(self, records: Sequence[Record], listener: PartitionListener, batch: int = 3) -> None:
        self._records = records
        self._batch = batch
        self.committed: dict[Partition, int] = {}
        self.when_empty: Callable[[], object] = lambda: None
        partitions = sorted({record.partition for record in records})
        self._offsets = dict.fromkeys(partitions, 0) | dict(listener.assigned(partitions))
        self._paused = False

    def poll(self, timeout_s: float) -> Sequence[Record]:
        if self._paused:
            return []
        ready = [each for each in self._records if each.offset >= self._offsets[each.partition]][: self._batch]
        if not ready:
            self.when_empty()
        for record in ready:
            self._offsets[record.partition] = record.offset + 1
        return ready

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self._offsets.update({each: offset for each, offset in offsets.items() if each in self._offsets})

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self.committed.update(offsets)

    def close(self) -> None: ...


class FakeDeadLetters:
    def __init__(self) -> None:
        self.letters: list[DeadLetter] = []

    def send(self, letters: Sequence[DeadLetter]) -> None:
        self.letters.extend(letters)


def event_json(event_id: str, **fields: object) -> bytes:
    """A valid event in proto3 JSON; fields given replace its own, None removes one."""
    event = {
        "eventId": event_id,
        "userId": "ada",
        "itemId": "book",
        "type": "view",
        "eventTime": "2026-01-02T03:04:05Z",
    } | fields
    return json.dumps({name: value for name, value in event.items() if value is not None}).encode()


def records_of(values: Sequence[bytes | None], partition: Partition = PARTITION) -> list[Record]:
    return [Record(partition, offset, value) for offset, value in enumerate(values)]
