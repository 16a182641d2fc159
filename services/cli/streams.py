"""The brokers as commands reach them: a running stack's Kafka, or the operator's own."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.embedded.state import connected
from services import logs
from services.adapters.kafka_cluster import KafkaCluster
from services.adapters.kafka_letters import KafkaLetters
from services.adapters.kafka_reader import KafkaReader
from services.domain.clock import SystemClock
from services.domain.dead_letters import DEAD_LETTER_SUFFIX
from services.domain.errors import InvalidRequest, NotRunning
from services.domain.streams import Record
from services.ingest.codec import decode_event, decode_item, decode_user
from services.ingest.wiring import limits_of
from services.settings import Settings, load

Decode = Callable[[Record], object]
"""What a record says, or the DeadLetter it would end as."""


@dataclass(frozen=True)
class Streams:
    """Kafka, and the settings that name its topics."""

    settings: Settings
    servers: str
    cluster: KafkaCluster
    reader: KafkaReader

    @property
    def letters(self) -> KafkaLetters:
        return KafkaLetters(self.cluster, self.reader)


@contextmanager
def opened_streams() -> Iterator[Streams]:
    """Kafka of the running stack, or the operator's own. Raises NotRunning and BrokerDown."""
    settings, servers = connected_to_kafka(load())
    logs.configure(settings.log_level, "nightjar")
    with KafkaCluster(servers) as cluster, KafkaReader(servers) as reader:
        yield Streams(settings, servers, cluster, reader)


def connected_to_kafka(settings: Settings) -> tuple[Settings, str]:
    """The settings with the running stack's addresses, and where Kafka is; raises NotRunning."""
    reached = connected(settings, needs=("kafka",))
    if reached.kafka.bootstrap_servers is None:
        raise NotRunning("The stack has no Kafka yet; wait until `nightjar status` shows it running.")
    return reached, reached.kafka.bootstrap_servers


def topics_by_noun(settings: Settings) -> Mapping[str, str]:
    """The topics by the words people use for what is on them."""
    kafka = settings.kafka
    return {"events": kafka.events_topic, "items": kafka.items_topic, "users": kafka.users_topic}


def dead_letter_topics(settings: Settings, noun: str | None) -> list[str]:
    """The dead letters of one noun, or of all; raises InvalidRequest for a word that is none."""
    topics = topics_by_noun(settings)
    if noun is not None and noun not in topics:
        raise InvalidRequest("--topic", f"{noun!r} is none of {', '.join(topics)}")
    return [topic + DEAD_LETTER_SUFFIX for word, topic in topics.items() if noun in (None, word)]


def decoders(settings: Settings) -> Mapping[str, Decode]:
    """By topic, the codec that the writers use: a record that passes it here passes it there."""
    types, limits, clock = settings.declared_event_types(), limits_of(settings), SystemClock()

    def now_us() -> int:
        return int(clock.now().timestamp() * 1_000_000)

    return {
        settings.kafka.events_topic: lambda record: decode_event(record, types, limits, now_us()),
        settings.kafka.items_topic: lambda record: decode_item(record, limits, now_us()),
        settings.kafka.users_topic: lambda record: decode_user(record, limits, now_us()),
    }
