"""Dead letters read back from their topics: the counterpart of KafkaDeadLetters."""

import heapq
from collections import deque
from collections.abc import Iterator
from typing import Final

from services.domain.dead_letters import StoredLetter
from services.domain.ports import StreamCluster, TopicReader
from services.domain.stored_records import OffsetRange, Position, StoredRecord
from services.domain.streams import Partition

# Letters asked for at once, read backwards: few at first, since most lists are short.
FIRST_CHUNK: Final = 32  # larger: more than is shown is read; smaller: more seeks
LARGEST_CHUNK: Final = 1_000  # larger: what is read in vain before the end of a chunk; smaller: more seeks
HELD_BYTES: Final = 8 * 1_048_576  # of a topic's letters, read and not given yet; smaller: large ones are read twice


class KafkaLetters:
    """Finds dead letters by where they are kept, or the newest of a topic. Methods block; they raise BrokerDown."""

    def __init__(self, cluster: StreamCluster, reader: TopicReader) -> None:
        self._cluster = cluster
        self._reader = reader

    def find(self, position: Position) -> StoredLetter | None:
        """The letter kept at this place; None when there is none any more, or never was."""
        if position.partition not in self._cluster.partitions([position.partition.topic]).get(
            position.partition.topic, ()
        ):
            return None
        kept = self._cluster.ranges([position.partition])[position.partition]
        if not kept.first <= position.offset < kept.end:
            return None
        wanted = OffsetRange(position.offset, position.offset + 1)
        return next((letter_of(each) for each in self._reader.read({position.partition: wanted})), None)

    def newest_first(self, topic: str) -> Iterator[StoredLetter]:
        """Every letter of a dead-letter topic, by when it was written; none for a topic that does not exist."""
        partitions = self._cluster.partitions([topic]).get(topic, ())
        each = (self._backwards(partition, HELD_BYTES // len(partitions)) for partition in partitions)
        return heapq.merge(*each, key=lambda letter: letter.time_us, reverse=True)

    def _backwards(self, partition: Partition, held_bytes: int) -> Iterator[StoredLetter]:
        kept = self._cluster.ranges([partition])[partition]
        end, num_asked = kept.end, FIRST_CHUNK
        while end > kept.first:
            first = max(kept.first, end - num_asked)
            letters, size_bytes, dropped = self._last_of(partition, OffsetRange(first, end), held_bytes)
            end = letters[0].position.offset if dropped else first
            if dropped:
                num_asked = len(letters)
            elif 2 * size_bytes <= held_bytes:
                num_asked = min(2 * num_asked, LARGEST_CHUNK)
            while letters:
                yield letters.pop()

    def _last_of(
        self, partition: Partition, wanted: OffsetRange, held_bytes: int
    ) -> tuple[deque[StoredLetter], int, bool]:
        """The last letters of a range that fit, one at least, their size, and whether others before them do not."""
        letters: deque[StoredLetter] = deque()
        size_bytes, dropped = 0, False
        for stored in self._reader.read({partition: wanted}):
            letters.append(letter_of(stored))
            size_bytes += size_bytes_of(letters[-1])
            while size_bytes > held_bytes and len(letters) > 1:
                size_bytes -= size_bytes_of(letters.popleft())
                dropped = True
        return letters, size_bytes, dropped


def size_bytes_of(letter: StoredLetter) -> int:
    """What it takes of memory, nearly: its value, its key, and 1 KB for all that is bounded."""
    return len(letter.value or b"") + len(letter.key or b"") + 1_024


def letter_of(stored: StoredRecord) -> StoredLetter:
    """What a record of a dead-letter topic says; one that no writer of Nightjar put there says little."""

    def text(name: str) -> str:
        return stored.headers.get(name, b"").decode("utf-8", "replace")

    return StoredLetter(
        position=stored.position,
        time_us=stored.record.timestamp_us or 0,
        source=_source(text("source-topic"), text("source-partition"), text("source-offset")),
        reason=text("reason"),
        detail=text("detail"),
        key=stored.record.key,
        value=stored.record.value,
        content_type=stored.record.content_type,
        full_size_bytes=_number(text("value-size")),
        headers=stored.headers,
    )


def _source(topic: str, partition: str, offset: str) -> Position | None:
    number, place = _number(partition), _number(offset)
    return None if not topic or number is None or place is None else Position(Partition(topic, number), place)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
