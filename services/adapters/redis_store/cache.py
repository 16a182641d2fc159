"""The result cache in Redis: best effort, so a failure is a miss. An answer lies beside the history it was made of."""

from services.adapters.redis_store.connecting import RedisStore
from services.adapters.redis_store.keys import answer_key
from services.adapters.redis_store.link import FAILURES
from services.domain.ids import UserId


class RedisResultCache:
    """Implements the ResultCache port; every entry lives at most `ttl_s` seconds."""

    def __init__(self, store: RedisStore, ttl_s: int) -> None:
        self._store = store
        self._ttl_s = ttl_s

    async def get(self, user_id: UserId, key: bytes) -> bytes | None:
        where = answer_key(user_id, key)
        try:
            value: bytes | None = await self._store.ask(where, "GET", where)
        except FAILURES:
            return None
        return value

    async def put(self, user_id: UserId, key: bytes, value: bytes) -> None:
        where = answer_key(user_id, key)
        try:
            await self._store.ask(where, "SET", where, value, "EX", self._ttl_s)
        except FAILURES:
            return  # the next request computes it again

    async def aclose(self) -> None:
        """Closes the store, for all who share it."""
        await self._store.aclose()
