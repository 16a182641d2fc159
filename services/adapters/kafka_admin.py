"""The Kafka cluster itself: does it answer, and are the topics there."""

import contextlib
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from services.domain.dead_letters import DEAD_LETTER_SUFFIX
from services.domain.errors import BrokerDown


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it is to be created; one that exists is left as its operator made it."""

    name: str
    num_partitions: int
    configs: Mapping[str, str] = field(default_factory=dict)


_CONNECT_TIMEOUT_S = 1.0  # larger: dead addresses are told late; smaller: distant ones look dead

# A tombstone must outlast a catalog writer that is down, or the erasure it asks for never happens; this is Kafka's own
# default for how long events are kept. Larger: erased ids, and users' older states, stay on the topic for longer.
_TOMBSTONES_KEPT_MS = 7 * 86_400_000


# Larger: disk for longer; smaller: dead records are gone before anyone looked. Events themselves have Kafka's 7 days.
_LETTERS_KEPT_MS = 30 * 86_400_000


def topic_specs(events_topic: str, items_topic: str, users_topic: str, num_partitions: int) -> list[TopicSpec]:
    """The topics of the project. Of items and users the newest state is what counts; dead letters are rare."""
    letters = {"cleanup.policy": "delete", "retention.ms": str(_LETTERS_KEPT_MS)}
    compacted = {"cleanup.policy": "compact", "delete.retention.ms": str(_TOMBSTONES_KEPT_MS)}
    # A user who comes back writes over their tombstone: the cleaner must not take it away unread.
    every_wish_kept = compacted | {"min.compaction.lag.ms": str(_TOMBSTONES_KEPT_MS)}
    return [
        TopicSpec(events_topic, num_partitions),
        TopicSpec(items_topic, 1, compacted),
        TopicSpec(users_topic, 1, every_wish_kept),
        *(TopicSpec(topic + DEAD_LETTER_SUFFIX, 1, letters) for topic in (events_topic, items_topic, users_topic)),
    ]


def ensure_topics(bootstrap_servers: str, topics: Sequence[TopicSpec], timeout_s: float = 30.0) -> list[str]:
    """Creates the topics that are not there, waits until they have leaders, and returns their names.

    Blocks; may be repeated safely, also by several processes at once. Raises BrokerDown when the cluster does not
    answer in time or refuses.
    """
    try:
        with _admin(bootstrap_servers, timeout_s) as admin:
            existing = set(admin.list_topics())
            missing = [topic for topic in topics if topic.name not in existing]
            for topic in missing:
                # Without a replication factor the broker's own default counts: 1 here, more in a real cluster.
                wanted = {topic.name: {"num_partitions": topic.num_partitions, "configs": dict(topic.configs)}}
                with contextlib.suppress(TopicAlreadyExistsError):  # another process was faster
                    admin.create_topics(wanted)
            if missing:
                admin.wait_for_topics([topic.name for topic in missing])
            return [topic.name for topic in missing]
    except (KafkaError, OSError) as error:
        raise BrokerDown(
            f"Kafka at {bootstrap_servers} did not create the topics ({error}); is it running and reachable?"
        ) from error


def cluster_answers(bootstrap_servers: str, timeout_s: float) -> bool:
    """True when a broker answers a metadata request and knows itself as part of the cluster."""
    if not any_listens(bootstrap_servers):  # the client logs each refused connection
        return False
    try:
        with _admin(bootstrap_servers, timeout_s) as admin:
            return bool(admin.describe_cluster()["brokers"])
    except (KafkaError, OSError):
        return False


def any_listens(bootstrap_servers: str) -> bool:
    """True when at least one of the addresses takes a connection: a dead one is told at once, not after a timeout."""
    for server in bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        with contextlib.suppress(OSError):
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT_S).close()
            return True
    return False


def open_admin(bootstrap_servers: str, timeout_s: float) -> KafkaAdminClient:
    """A client for the brokers; raises KafkaError when none answers in time. The caller closes it."""
    timeout_ms = int(timeout_s * 1000)
    return KafkaAdminClient(
        bootstrap_servers=bootstrap_servers.split(","),
        client_id="nightjar-admin",
        bootstrap_timeout_ms=timeout_ms,
        request_timeout_ms=timeout_ms,
    )


@contextlib.contextmanager
def _admin(bootstrap_servers: str, timeout_s: float) -> Iterator[KafkaAdminClient]:
    admin = open_admin(bootstrap_servers, timeout_s)
    try:
        yield admin
    finally:
        admin.close()
