"""Which partition a key belongs to: Java's choice exactly, so producers in every language agree."""

import functools
from typing import Any, Final

from kafka.partitioner import Partitioner
from kafka.partitioner.default import murmur2

CACHED_KEYS: Final = 65_536  # larger: memory (about 150 bytes a key); smaller: active users are hashed again


class KeyPartitioner(Partitioner):  # type: ignore[misc]  # kafka-python has no types
    """kafka-python's default for keyed records, with the hashes kept: in pure Python they cost more than the rest."""

    def __init__(self) -> None:
        self._hash = functools.lru_cache(maxsize=CACHED_KEYS)(_java_hash)

    def partition(
        self,
        topic: str,
        key: Any,  # noqa: ARG002 - the library's signature
        serialized_key: bytes,
        value: Any,  # noqa: ARG002
        serialized_value: bytes,  # noqa: ARG002
        cluster: Any,
    ) -> int:
        """The key's partition; raises ValueError when the topic's partitions are not known."""
        partitions = cluster.partitions_for_topic(topic)
        if not partitions:
            raise ValueError(f"the partitions of the topic {topic} are not known")
        # Partitions are numbered from 0 without gaps.
        return self._hash(serialized_key) % len(partitions)


def _java_hash(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFF_FFFF
