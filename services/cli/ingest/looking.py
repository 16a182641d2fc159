"""Puts a look at the way in together: Kafka, the log and Redis of these settings."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from services.adapters.delta_log.commits import DeltaLogHistory
from services.adapters.kafka_cluster import KafkaCluster
from services.domain.clock import SystemClock
from services.domain.errors import FeatureStoreDown
from services.domain.streams import Partition
from services.ingest.status import IngestStatus, Topics, take_status
from services.ingest.troubles import Subject, Trouble, troubles_of
from services.ingest.wiring import group_of
from services.settings import Settings


def look(settings: Settings, cluster: KafkaCluster) -> IngestStatus:
    """Looks once; blocks. Raises BrokerDown and EventLogDown; a Redis that is away is part of what is seen."""

    def fences(partitions: Sequence[Partition]) -> Mapping[Partition, int] | None:
        from services.adapters.redis_store import looking

        if settings.redis.url is None:
            return None
        try:
            return looking.fences(settings.redis.url.get_secret_value(), partitions)
        except FeatureStoreDown:
            return None

    history = DeltaLogHistory(settings.log_folder)
    commit_interval = timedelta(seconds=settings.ingest.commit_interval_s)
    return take_status(_topics(settings), cluster, history, fences, SystemClock(), commit_interval)


def troubles_seen(settings: Settings, status: IngestStatus, rates: Mapping[str, float | None]) -> list[Trouble]:
    """What is wrong, the worst first; a Redis whose address nobody gave was not asked, which is no silence of it."""
    found = list(troubles_of(status, rates))
    if settings.redis.url is not None:
        return found
    unasked = Trouble("The address of Redis is not known: set NIGHTJAR_REDIS__URL.", subject=Subject.REDIS)
    return [unasked if trouble.subject is Subject.REDIS else trouble for trouble in found]


def _topics(settings: Settings) -> Topics:
    return Topics(
        events=settings.kafka.events_topic,
        offline_group=group_of(settings, "offline"),
        online_group=group_of(settings, "online"),
        catalogs={"items": settings.kafka.items_topic, "users": settings.kafka.users_topic},
        catalog_groups={"items": group_of(settings, "catalog"), "users": group_of(settings, "users")},
    )
