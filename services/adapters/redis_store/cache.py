"""The result cache in Redis: best effort, so a failure is a miss."""

from services.adapters.redis_store.connecting import FAILURES, Store
from services.adapters.redis_store.keys import CACHE_PREFIX


class RedisResultCache:
    """Implements the ResultCache port; every entry lives at most `ttl_s` seconds."""

    def __init__(self, url: str, timeout_s: float, ttl_s: int) -> None:
        self._store = Store(url, timeout_s)
        self._ttl_s = ttl_s

    async def get(self, key: bytes) -> bytes | None:
        try:
            value = await self._store.ask(CACHE_PREFIX + key, lambda client: client.get(CACHE_PREFIX + key))
        except FAILURES:
            return None
        return value if isinstance(value, bytes) else None

    async def put(self, key: bytes, value: bytes) -> None:
        try:
            await self._store.ask(
                CACHE_PREFIX + key, lambda client: client.set(CACHE_PREFIX + key, value, ex=self._ttl_s)
            )
        except FAILURES:
            return  # the next request computes it again

    async def aclose(self) -> None:
        await self._store.aclose()
