"""The histories in memory: the plain statement of what the Redis script must do, used as its reference."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from services.adapters.redis_store import HistoryLimits
from services.domain.event_types import EventTypes, Role
from services.domain.ids import ItemId, UserId
from services.domain.interactions import HistoryEntry, Interaction, UserHistory
from services.domain.users import Erasure


class FakeHistories:
    """Implements HistoryWriter, HistoryReader and UserLister."""

    def __init__(self, types: EventTypes, limits: HistoryLimits) -> None:
        self._types = types
        self._limits = limits
        self._entries: dict[UserId, set[HistoryEntry]] = defaultdict(set)
        self._consumed: dict[UserId, dict[ItemId, int]] = defaultdict(dict)
        self._shown: dict[UserId, dict[ItemId, int]] = defaultdict(dict)

    def apply(self, interactions: Iterable[Interaction]) -> None:
        for event in interactions:
            kind = self._types.get(event.event_type)
            if kind is not None and kind.enters_history:
                entry = HistoryEntry(event.event_time_us, event.event_id, event.item_id, event.event_type, event.value)
                kept = sorted({*self._entries[event.user_id], entry})[-self._limits.max_history :]
                self._entries[event.user_id] = set(kept)
            if kind is not None and kind.consumes:
                self._consumed[event.user_id] = _newest(self._consumed[event.user_id], event, self._limits.max_consumed)
            if kind is not None and kind.role is Role.IMPRESSION:
                self._shown[event.user_id] = _newest(self._shown[event.user_id], event, self._limits.max_shown)

    def clear(self) -> None:
        """All is lost, as after a flush."""
        for kept in (self._entries, self._consumed, self._shown):
            kept.clear()

    def users(self) -> Iterator[Sequence[UserId]]:
        yield [user_id for user_id, entries in self._entries.items() if entries]

    def forget(self, wishes: Sequence[Erasure]) -> None:
        for wish in wishes:
            user_id, until_us = wish.user_id, wish.request_time_us
            self._entries[user_id] = {entry for entry in self._entries[user_id] if entry.event_time_us > until_us}
            for newest in (self._consumed, self._shown):
                newest[user_id] = {item: time_us for item, time_us in newest[user_id].items() if time_us > until_us}

    async def read(self, user_id: UserId) -> UserHistory:
        entries = tuple(sorted(self._entries.get(user_id, ())))
        consumed = frozenset(self._consumed.get(user_id, ()))
        version = str(hash((entries, consumed))) if entries or consumed else ""
        return UserHistory(entries, consumed, version)

    async def read_with_answer(self, user_id: UserId, key: bytes) -> tuple[UserHistory, bytes | None]:
        del key  # it keeps no answers
        return await self.read(user_id), None

    async def read_version(self, user_id: UserId) -> str:
        return (await self.read(user_id)).version

    async def read_shown(self, user_id: UserId) -> Mapping[ItemId, int]:
        return self._shown.get(user_id, {})


def _newest(times: Mapping[ItemId, int], event: Interaction, bound: int) -> dict[ItemId, int]:
    newest = {**times, event.item_id: max(event.event_time_us, times.get(event.item_id, 0))}
    return dict(sorted(newest.items(), key=lambda pair: (pair[1], pair[0].encode()))[-bound:])
