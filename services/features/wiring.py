"""Opens the online features in Redis for whoever writes, reads or rebuilds them.

The log and the catalog are imported where they are opened: a writer's process starts a second sooner and stays smaller.
"""

from collections.abc import Callable
from datetime import timedelta

from services.adapters.redis_store import (
    CounterLimits,
    HistoryLimits,
    RedisCounterWriter,
    RedisHistoryWriter,
    RedisItemCounters,
    RedisStore,
)
from services.domain.clock import SystemClock
from services.domain.counters import CounterRules
from services.domain.errors import InvalidSettings
from services.domain.ports import EventsByOffset, ItemCatalog, UserDirectory
from services.features.rebuild import Rebuild, Rebuilt
from services.settings import Settings


def open_log(settings: Settings) -> EventsByOffset:
    from services.adapters.delta_log.by_offset import DeltaEventsByOffset

    return DeltaEventsByOffset(settings.log_folder)


def open_histories(settings: Settings) -> RedisHistoryWriter:
    redis = settings.redis
    limits = HistoryLimits(redis.max_history, redis.max_consumed, redis.history_ttl_s, redis.max_shown)
    return RedisHistoryWriter(redis_url(settings), settings.declared_event_types(), limits)


def open_counters(settings: Settings, *, staged: bool = False) -> RedisCounterWriter:
    """The counters' writing side; staged: the copies that a rebuild makes."""
    redis = settings.redis
    return RedisCounterWriter(
        redis_url(settings),
        CounterRules(settings.declared_event_types(), redis.trending_half_life_s),
        CounterLimits(
            redis.counter_max_items, redis.counter_max_surfaces, redis.counter_dedupe_offsets, redis.history_ttl_s
        ),
        SystemClock(),
        staged=staged,
    )


def open_item_counters(settings: Settings, timeout_s: float = 5.0) -> RedisItemCounters:
    return RedisItemCounters(RedisStore(redis_url(settings), timeout_s))


def open_catalog(settings: Settings) -> ItemCatalog:
    from services.adapters.sql.engine import connect
    from services.adapters.sql.item_catalog import SqlItemCatalog
    from services.adapters.sql.migrate import upgrade

    upgrade(settings.database_url)
    return SqlItemCatalog(connect(settings.database_url))


def _open_users(settings: Settings) -> UserDirectory:
    from services.adapters.sql.engine import connect
    from services.adapters.sql.migrate import upgrade
    from services.adapters.sql.user_directory import SqlUserDirectory

    upgrade(settings.database_url)
    return SqlUserDirectory(connect(settings.database_url), SystemClock())


def rebuild(settings: Settings, report: Callable[[int], None]) -> Rebuilt:
    """Makes Redis again from the log; `report` is told how many events have been read. Raises as `Rebuild.run`."""
    histories, copies = open_histories(settings), open_counters(settings, staged=True)
    known_since = SystemClock().now() - timedelta(seconds=settings.redis.history_ttl_s)
    try:
        return Rebuild(
            open_log(settings),
            histories,
            copies,
            settings.kafka.events_topic,
            _open_users(settings),
            int(known_since.timestamp() * 1_000_000),
            report,
        ).run()
    finally:
        histories.close()
        copies.close()


def redis_url(settings: Settings) -> str:
    if settings.redis.url is None:
        raise InvalidSettings("NIGHTJAR_REDIS__URL is unset; `nightjar up` sets it, or name your own Redis.")
    return settings.redis.url.get_secret_value()
