"""Puts a writer process together: settings, Kafka, its store, and its loop.

Each writer imports the stores it writes to and no other: a process starts a second sooner and stays smaller.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import structlog

from services.adapters.kafka_source import KafkaDeadLetters, KafkaRecordSource
from services.domain.clock import SystemClock
from services.domain.errors import InvalidSettings
from services.domain.ports import PartitionListener, UserDirectory
from services.domain.streams import Partition, Record
from services.ingest.applying import run_applying, run_online
from services.ingest.catalog_writer import CatalogWriter
from services.ingest.checkpointing import CheckpointLimits, run_checkpoints
from services.ingest.codec import Limits
from services.ingest.collector import collect_rarely
from services.ingest.erased import ErasureFollower
from services.ingest.offline_writer import OfflineWriter
from services.ingest.online_writer import OnlineWriter
from services.ingest.partitions import FromCommittedOffsets
from services.ingest.side_by_side import AfterAll, run_side_by_side
from services.ingest.user_writer import UserWriter
from services.settings import Settings

log = structlog.get_logger()


class WriterKind(StrEnum):
    OFFLINE = "offline"
    ONLINE = "online"
    CATALOG = "catalog"


def run_writer(kind: WriterKind, settings: Settings, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """Runs one writer until `stop` is set; `on_ready` is called once it has joined its group."""
    {
        WriterKind.OFFLINE: _run_offline,
        WriterKind.ONLINE: _run_online,
        WriterKind.CATALOG: _run_catalog,
    }[kind](settings, stop, on_ready)
    log.info("writer_stopped", writer=kind.value)


def _run_offline(settings: Settings, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    from services.adapters.delta_log import DeltaEventLog

    collect_rarely()
    servers, ingest = _servers(settings), settings.ingest
    dead_letters = KafkaDeadLetters(servers)
    writer = OfflineWriter(
        DeltaEventLog(settings.log_folder),
        dead_letters,
        SystemClock(),
        types=settings.declared_event_types(),
        limits=limits_of(settings),
        dedupe_window_us=ingest.dedupe_window_s * 1_000_000,
        dedupe_max_ids=ingest.dedupe_max_ids,
        max_consecutive_dead=ingest.max_consecutive_dead,
    )
    source = KafkaRecordSource(
        servers, group_of(settings, "offline"), [settings.kafka.events_topic], _Announcing(writer, on_ready)
    )
    try:
        run_checkpoints(
            source,
            writer,
            stop,
            CheckpointLimits(ingest.commit_rows, ingest.commit_bytes, ingest.commit_interval_s),
        )
    finally:
        source.close()
        dead_letters.close()


def _run_online(settings: Settings, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    from services.features.wiring import open_counters, open_histories

    servers, types = _servers(settings), settings.declared_event_types()
    histories, counters = open_histories(settings), open_counters(settings)
    erasures = ErasureFollower(lambda: _open_users(settings), SystemClock())
    writer = OnlineWriter(histories, counters, erasures, SystemClock(), types=types, limits=limits_of(settings))

    def write() -> None:
        erasures.wait_for_first_look()
        source = KafkaRecordSource(
            servers, group_of(settings, "online"), [settings.kafka.events_topic], _Announcing(writer, on_ready)
        )
        try:
            run_online(source, writer, stop)
        finally:
            source.close()

    try:
        run_side_by_side([lambda: erasures.follow(stop), write], stop)
    finally:
        histories.close()
        counters.close()


def _open_users(settings: Settings) -> UserDirectory:
    from services.adapters.sql.engine import connect
    from services.adapters.sql.user_directory import SqlUserDirectory

    return SqlUserDirectory(connect(settings.database_url), SystemClock())


def _run_catalog(settings: Settings, stop: threading.Event, on_ready: Callable[[], None]) -> None:
    """Items and users side by side: a tombstone that waits for Redis must not hold up an item that is to be hidden."""
    from services.adapters.redis_store import RedisAvailabilityNotice
    from services.adapters.sql.engine import connect
    from services.adapters.sql.item_catalog import SqlItemCatalog
    from services.adapters.sql.user_directory import SqlUserDirectory
    from services.features.wiring import open_histories, redis_url

    kafka = settings.kafka
    dead_letters, clock, limits = KafkaDeadLetters(_servers(settings)), SystemClock(), limits_of(settings)
    engine = connect(settings.database_url)
    notice = RedisAvailabilityNotice(redis_url(settings), settings.redis.timeout_s)
    online = open_histories(settings)
    items = CatalogWriter(SqlItemCatalog(engine), notice, dead_letters, clock, limits=limits)
    users = UserWriter(SqlUserDirectory(engine, clock), online, dead_letters, clock, limits=limits)
    joined = AfterAll(2, on_ready)
    try:
        run_side_by_side(
            [
                lambda: _apply_all(settings, "catalog", kafka.items_topic, items.apply, stop, joined),
                lambda: _apply_all(settings, "users", kafka.users_topic, users.apply, stop, joined),
            ],
            stop,
        )
    finally:
        dead_letters.close()
        notice.close()
        online.close()


def _apply_all(
    settings: Settings,
    group: str,
    topic: str,
    apply: Callable[[Sequence[Record]], Mapping[Partition, int]],
    stop: threading.Event,
    on_ready: Callable[[], None],
) -> None:
    listener = _Announcing(FromCommittedOffsets(), on_ready)
    source = KafkaRecordSource(_servers(settings), group_of(settings, group), [topic], listener)
    try:
        run_applying(source, apply, stop)
    finally:
        source.close()


class _Announcing:
    """A PartitionListener that says once that the group was joined, then only passes on."""

    def __init__(self, listener: PartitionListener, on_ready: Callable[[], None]) -> None:
        self._listener = listener
        self._on_ready: Callable[[], None] | None = on_ready

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        offsets = self._listener.assigned(partitions)
        if self._on_ready is not None:
            self._on_ready()
            self._on_ready = None
        return offsets

    def revoked(self, partitions: Sequence[Partition]) -> None:
        self._listener.revoked(partitions)


def _servers(settings: Settings) -> str:
    if settings.kafka.bootstrap_servers is None:
        raise InvalidSettings(
            "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS is unset; `nightjar up` sets it, or name your own cluster."
        )
    return settings.kafka.bootstrap_servers


def group_of(settings: Settings, writer: str) -> str:
    return f"{settings.kafka.consumer_group_prefix}-{writer}"


def limits_of(settings: Settings) -> Limits:
    return Limits(settings.ingest.max_record_bytes, settings.ingest.max_future_s * 1_000_000)
