"""Kafka's brokers as an operator asks them: offsets, groups, topic settings, and the deletion of old records."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from kafka import KafkaAdminClient, OffsetSpec
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
    PolicyViolationError,
    UnknownTopicOrPartitionError,
)

from services.adapters.kafka_admin import any_listens, open_admin
from services.adapters.kafka_source import to_kafka
from services.domain.errors import BrokerDown, InvalidRequest
from services.domain.stored_records import OffsetRange
from services.domain.streams import Partition

TIMEOUT_S: Final = 10.0  # larger: a person waits longer to hear that nobody answers; smaller: a busy cluster looks dead

_PAUSE_S: Final = 0.2  # before a coordinator is asked again; larger: slower; smaller: questions while it starts
_NOT_READY: Final = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)


class KafkaCluster:
    """Implements the StreamCluster port. Close it, or use it in a `with`."""

    def __init__(self, bootstrap_servers: str, timeout_s: float = TIMEOUT_S) -> None:
        """Raises BrokerDown when no broker answers in time."""
        self._servers = bootstrap_servers
        self._timeout_s = timeout_s
        if not any_listens(bootstrap_servers):
            raise BrokerDown(f"No Kafka broker listens at {bootstrap_servers}; start it, or name another.")
        with self._asked():
            self._admin: KafkaAdminClient = open_admin(bootstrap_servers, timeout_s)

    def partitions(self, topics: Collection[str]) -> Mapping[str, Sequence[Partition]]:
        with self._asked():
            found = {topic["name"]: topic["partitions"] for topic in self._admin.describe_topics(list(topics))}
        return {
            name: [Partition(name, number) for number in sorted(each["partition_index"] for each in found[name])]
            for name in topics
            if found.get(name)  # a topic that does not exist is described with an error and no partitions
        }

    def topic_settings(self, topics: Collection[str]) -> Mapping[str, Mapping[str, str]]:
        """Every setting that is in force for each of these topics, which must exist. Raises BrokerDown."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        with self._asked():
            described = self._admin.describe_configs(resources, config_filter="all") if resources else {}
        return {
            topic: {name: entry["value"] for name, entry in settings.items()}
            for topic, settings in described.get("topic", {}).items()
        }

    def ranges(self, partitions: Iterable[Partition]) -> Mapping[Partition, OffsetRange]:
        asked = list(partitions)
        first = self._offsets(dict.fromkeys(asked, OffsetSpec.EARLIEST))
        end = self._offsets(dict.fromkeys(asked, OffsetSpec.LATEST))
        return {each: OffsetRange(first[each], end[each]) for each in asked}

    def offsets_at(self, time_us: int, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        asked = list(partitions)
        found = self._offsets(dict.fromkeys(asked, -(-time_us // 1_000)))
        end = self._offsets(dict.fromkeys((each for each in asked if found[each] < 0), OffsetSpec.LATEST))
        return {each: end.get(each, found[each]) for each in asked}

    def committed(self, group: str, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        asked = list(partitions)
        if not asked:
            return {}
        specs = {group: [to_kafka(each) for each in asked]}
        stored = self._asked_of_coordinator(lambda: self._admin.list_group_offsets(specs))[group]
        found = {each: stored.get(to_kafka(each)) for each in asked}
        return {each: int(known.offset) for each, known in found.items() if known is not None and known.offset >= 0}

    def num_members(self, groups: Collection[str]) -> Mapping[str, int]:
        described = self._asked_of_coordinator(lambda: self._admin.describe_groups(list(groups)))
        return {group: len(described.get(group, {}).get("members", ())) for group in groups}

    def delete_before(self, offsets: Mapping[Partition, int]) -> None:
        try:
            with self._asked():
                self._admin.delete_records({to_kafka(each): offset for each, offset in offsets.items()})
        except PolicyViolationError as error:
            names = ", ".join(sorted({each.topic for each in offsets}))
            raise InvalidRequest(names, "is compacted; Kafka deletes none of its records by offset") from error

    def close(self) -> None:
        self._admin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _offsets(self, wanted: Mapping[Partition, OffsetSpec | int]) -> dict[Partition, int]:
        """-1 where no record is of the time asked for or later."""
        if not wanted:
            return {}
        with self._asked():
            found = self._admin.list_partition_offsets({to_kafka(each): spec for each, spec in wanted.items()})
        return {Partition(each.topic, each.partition): int(known.offset) for each, known in found.items()}

    def _asked_of_coordinator(self, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A young or just elected broker is not ready to speak of groups, and says so at once."""
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                with self._asked():
                    return ask()
            except BrokerDown as error:
                if not isinstance(error.__cause__, _NOT_READY) or time.monotonic() > deadline:
                    raise
            time.sleep(_PAUSE_S)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except UnknownTopicOrPartitionError as error:
            raise BrokerDown(f"Kafka at {self._servers} has no such topic or partition ({error}).") from error
        except PolicyViolationError:
            raise
        except (KafkaError, OSError) as error:
            raise BrokerDown(
                f"Kafka at {self._servers} did not answer ({type(error).__name__}: {error}); is it running and "
                "reachable?"
            ) from error


def group_lag(bootstrap_servers: str, group: str, topic: str) -> int:
    """Records of a topic that a group has not committed yet; blocks. Raises BrokerDown.

    A topic made anew ends before what the group committed of the old one; that counts as 0.
    """
    with KafkaCluster(bootstrap_servers) as cluster:
        partitions = cluster.partitions([topic]).get(topic, ())
        committed = cluster.committed(group, partitions)
        kept = cluster.ranges(partitions)
    return sum(max(held.end - max(committed.get(each, 0), held.first), 0) for each, held in kept.items())
