"""The partition of a key is Java's choice, so that producers in every language agree on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import DefaultPartitioner

from nightjar.partitioning import KeyPartitioner


class Topic:
    """What a partitioner asks of the cluster's metadata."""

    def __init__(self, num_partitions: int) -> None:
        self._partitions = set(range(num_partitions))

    def topics(self) -> set[str]:
        return {"t"}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return self._partitions

    available_partitions_for_topic = partitions_for_topic


@given(key=st.binary(max_size=300), num_partitions=st.integers(1, 64))
def test_a_key_lies_where_every_kafka_client_puts_it(key: bytes, num_partitions: int) -> None:
    topic = Topic(num_partitions)
    expected = DefaultPartitioner().partition("t", None, key, None, b"", topic)
    partitioner = KeyPartitioner()
    assert partitioner.partition("t", None, key, None, b"", topic) == expected
    assert partitioner.partition("t", None, key, None, b"", topic) == expected, "also when it is remembered"


def test_a_topic_without_partitions_is_an_error() -> None:
    with pytest.raises(ValueError, match="not known"):
        KeyPartitioner().partition("t", None, b"k", None, b"", Topic(0))
