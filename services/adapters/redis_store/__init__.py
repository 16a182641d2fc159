"""Redis (or Valkey): users' histories, cached answers, and the notice that another model is live."""

from services.adapters.redis_store.cache import RedisResultCache
from services.adapters.redis_store.history_reader import RedisHistoryReader
from services.adapters.redis_store.history_writer import HistoryLimits, RedisHistoryWriter
from services.adapters.redis_store.notices import RedisLiveModelNotice, RedisLiveModelNotices

__all__ = [
    "HistoryLimits",
    "RedisHistoryReader",
    "RedisHistoryWriter",
    "RedisLiveModelNotice",
    "RedisLiveModelNotices",
    "RedisResultCache",
]
