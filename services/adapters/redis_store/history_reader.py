"""The reading side of the histories, for serving."""

from collections.abc import Mapping
from typing import Any

import redis.asyncio

from services.adapters.redis_store.connecting import FAILURES, Store
from services.adapters.redis_store.keys import UserKeys, from_member, user_keys
from services.domain.errors import FeatureStoreDown
from services.domain.ids import ItemId, UserId
from services.domain.interactions import UserHistory


class RedisHistoryReader:
    """Implements the HistoryReader port."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._store = Store(url, timeout_s)

    async def read(self, user_id: UserId) -> UserHistory:
        keys = user_keys(user_id)
        try:
            history, consumed, version = await self._store.ask(keys.history, lambda client: _read(client, keys))
        except FAILURES as error:
            raise FeatureStoreDown(f"Redis did not answer for a user's history: {error}") from error
        return UserHistory(
            entries=tuple(from_member(member, int(score)) for member, score in history),
            consumed=frozenset(ItemId(item_id.decode()) for item_id in consumed),
            version=version.decode() if version else "",
        )

    async def read_shown(self, user_id: UserId) -> Mapping[ItemId, int]:
        key = user_keys(user_id).shown
        try:
            shown: Any = await self._store.ask(key, lambda client: client.zrange(key, 0, -1, withscores=True))
        except FAILURES as error:
            raise FeatureStoreDown(f"Redis did not answer for what a user was shown: {error}") from error
        return {ItemId(item_id.decode()): int(time_us) for item_id, time_us in shown}

    async def aclose(self) -> None:
        await self._store.aclose()


async def _read(client: "redis.asyncio.Redis", keys: UserKeys) -> list[Any]:
    """In one transaction: a version read beside a history of another moment would poison the cache."""
    pipeline = client.pipeline(transaction=True)
    pipeline.zrange(keys.history, 0, -1, withscores=True)
    pipeline.zrange(keys.consumed, 0, -1)
    pipeline.get(keys.version)
    return await pipeline.execute()
