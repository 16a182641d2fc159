"""Redis (or Valkey): users' histories, counters, cached answers, and the notices that wake serving."""

from services.adapters.redis_store.cache import RedisResultCache
from services.adapters.redis_store.connecting import RedisStore
from services.adapters.redis_store.counter_reader import RedisItemCounters
from services.adapters.redis_store.counter_writer import CounterLimits, RedisCounterWriter
from services.adapters.redis_store.history_reader import RedisHistoryReader
from services.adapters.redis_store.history_writer import HistoryLimits, RedisHistoryWriter
from services.adapters.redis_store.listing import RedisUserLister
from services.adapters.redis_store.notices import (
    RedisAvailabilityNotice,
    RedisAvailabilityNotices,
    RedisLiveModelNotice,
    RedisLiveModelNotices,
    RedisPreparationNotice,
    RedisPreparationNotices,
)

__all__ = [
    "CounterLimits",
    "HistoryLimits",
    "RedisAvailabilityNotice",
    "RedisAvailabilityNotices",
    "RedisCounterWriter",
    "RedisHistoryReader",
    "RedisHistoryWriter",
    "RedisItemCounters",
    "RedisLiveModelNotice",
    "RedisLiveModelNotices",
    "RedisPreparationNotice",
    "RedisPreparationNotices",
    "RedisResultCache",
    "RedisStore",
    "RedisUserLister",
]
