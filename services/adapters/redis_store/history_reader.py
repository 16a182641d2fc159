"""The reading side of the histories, for serving."""

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.adapters.redis_store.keys import from_member, user_keys
from services.domain.errors import FeatureStoreDown
from services.domain.ids import ItemId, UserId
from services.domain.interactions import UserHistory

MAX_CONNECTIONS = 64  # larger: more sockets a worker; smaller: bursts wait for one another. Beyond it calls wait.


def connect(url: str, timeout_s: float) -> "redis.asyncio.Redis":
    """A client that fails fast: a slow store must degrade an answer, not delay it. One retry mends a stale socket."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),  # a timeout is not tried again
    )
    return redis.asyncio.Redis.from_pool(pool)


class RedisHistoryReader:
    """Implements the HistoryReader port."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = connect(url, timeout_s)

    async def read(self, user_id: UserId) -> UserHistory:
        keys = user_keys(user_id)
        # One transaction: a version read beside a history of another moment would poison the cache.
        pipeline = self._client.pipeline(transaction=True)
        pipeline.zrange(keys.history, 0, -1, withscores=True)
        pipeline.zrange(keys.consumed, 0, -1)
        pipeline.get(keys.version)
        try:
            history, consumed, version = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise FeatureStoreDown(f"Redis did not answer for a user's history: {error}") from error
        return UserHistory(
            entries=tuple(from_member(member, int(score)) for member, score in history),
            consumed=frozenset(ItemId(item_id.decode()) for item_id in consumed),
            version=version.decode() if version else "",
        )

    async def aclose(self) -> None:
        await self._client.aclose()
