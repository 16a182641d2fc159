"""The reading side of the histories, for serving."""

from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any

from services.adapters.redis_store.connecting import RedisStore
from services.adapters.redis_store.keys import UserKeys, answer_key, from_member, user_keys
from services.adapters.redis_store.link import FAILURES
from services.adapters.redis_store.pipelined import Command
from services.domain.errors import FeatureStoreDown
from services.domain.ids import ItemId, UserId
from services.domain.interactions import UserHistory


class RedisHistoryReader:
    """Implements the HistoryReader port."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def read(self, user_id: UserId) -> UserHistory:
        keys = user_keys(user_id)
        return _history(*await _told(self._store.ask_at_once(keys.history, _commands(keys))))

    async def read_with_answer(self, user_id: UserId, key: bytes) -> tuple[UserHistory, bytes | None]:
        keys = user_keys(user_id)
        commands = (*_commands(keys), ("GET", answer_key(user_id, key)))
        *parts, answer = await _told(self._store.ask_at_once(keys.history, commands))
        return _history(*parts), answer

    async def read_version(self, user_id: UserId) -> str:
        key = user_keys(user_id).version
        version = await _told(self._store.ask(key, "GET", key))
        return version.decode() if version else ""

    async def read_shown(self, user_id: UserId) -> Mapping[ItemId, int]:
        key = user_keys(user_id).shown
        shown = await _told(self._store.ask(key, "ZRANGE", key, 0, -1, "WITHSCORES"))
        return {ItemId(item_id.decode()): time_us for item_id, time_us in _with_times(shown)}

    async def aclose(self) -> None:
        """Closes the store, for all who share it."""
        await self._store.aclose()


def _commands(keys: UserKeys) -> Sequence[Command]:
    """To be sent as one transaction: a version read beside a history of another moment would poison the cache."""
    return (
        ("ZRANGE", keys.history, 0, -1, "WITHSCORES"),
        ("ZRANGE", keys.consumed, 0, -1),
        ("GET", keys.version),
    )


def _history(history: list[bytes], consumed: list[bytes], version: bytes | None) -> UserHistory:
    return UserHistory(
        entries=tuple(from_member(member, time_us) for member, time_us in _with_times(history)),
        consumed=frozenset(ItemId(item_id.decode()) for item_id in consumed),
        version=version.decode() if version else "",
    )


async def _told(reply: Awaitable[Any]) -> Any:
    try:
        return await reply
    except FAILURES as error:
        raise FeatureStoreDown(f"Redis did not answer for a user: {error}") from error


def _with_times(flat: list[bytes]) -> Iterator[tuple[bytes, int]]:
    """Members and their scores, which are times in µs, from a list in which they take turns."""
    return ((member, int(float(score))) for member, score in zip(flat[::2], flat[1::2], strict=True))
