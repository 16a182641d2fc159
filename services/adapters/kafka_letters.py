"""Dead letters read back from their topics: the counterpart of KafkaDeadLetters."""

from collections.abc import Iterator
from typing import Final

from services.domain.dead_letters import StoredLetter
from services.domain.ports import StreamCluster, TopicReader
from services.domain.stored_records import OffsetRange, Position, StoredRecord
from services.domain.streams import Partition

CHUNK: Final = 1_000  # read backwards; larger: more than is shown is read; smaller: more seeks in a long search


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
        """Every letter of a dead-letter topic, partition by partition; none for a topic that does not exist."""
        for partition in self._cluster.partitions([topic]).get(topic, ()):
            kept = self._cluster.ranges([partition])[partition]
            for end in range(kept.end, kept.first, -CHUNK):
                chunk = OffsetRange(max(kept.first, end - CHUNK), end)
                yield from reversed([letter_of(each) for each in self._reader.read({partition: chunk})])


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
