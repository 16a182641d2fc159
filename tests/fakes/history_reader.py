"""A HistoryReader in memory: tests set what a user did and was shown, and whether the store is down."""

from collections.abc import Mapping

from services.domain.errors import FeatureStoreDown
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import HistoryEntry, UserHistory
from tests.fakes.result_cache import FakeResultCache


class FakeHistoryReader:
    """cache: where answers are read from beside a history."""

    def __init__(self, cache: FakeResultCache | None = None) -> None:
        self.cache = FakeResultCache() if cache is None else cache
        self.histories: dict[UserId, UserHistory] = {}
        self.shown: dict[UserId, Mapping[ItemId, int]] = {}
        self.is_down = False

    async def read(self, user_id: UserId) -> UserHistory:
        if self.is_down:
            raise FeatureStoreDown("The store is down; the test said so.")
        return self.histories.get(user_id, UserHistory())

    async def read_with_answer(self, user_id: UserId, key: bytes) -> tuple[UserHistory, bytes | None]:
        return await self.read(user_id), await self.cache.get(user_id, key)

    async def read_version(self, user_id: UserId) -> str:
        return (await self.read(user_id)).version

    async def read_shown(self, user_id: UserId) -> Mapping[ItemId, int]:
        if self.is_down:
            raise FeatureStoreDown("The store is down; the test said so.")
        return self.shown.get(user_id, {})


def history_of(*item_ids: str, consumed: tuple[str, ...] = (), version: str = "v1", kind: str = "view") -> UserHistory:
    """A history of one event an item, in this order."""
    entries = tuple(
        HistoryEntry(time_us, EventId(f"event-{time_us}"), ItemId(item_id), kind)
        for time_us, item_id in enumerate(item_ids, start=1)
    )
    return UserHistory(entries, frozenset(ItemId(item_id) for item_id in consumed), version)
