"""The histories in memory: the plain statement of what the Redis script must do, used as its reference."""

from collections import defaultdict
from collections.abc import Sequence

from services.domain.event_types import EventTypes
from services.domain.ids import ItemId, UserId
from services.domain.interactions import HistoryEntry, Interaction, UserHistory


class FakeHistories:
    """Implements HistoryWriter and HistoryReader."""

    def __init__(self, types: EventTypes, max_history: int, max_consumed: int) -> None:
        self._types = types
        self._max_history = max_history
        self._max_consumed = max_consumed
        self._entries: dict[UserId, set[HistoryEntry]] = defaultdict(set)
        self._consumed: dict[UserId, dict[ItemId, int]] = defaultdict(dict)

    def apply(self, interactions: Sequence[Interaction]) -> None:
        for event in interactions:
            kind = self._types.get(event.event_type)
            if kind is not None and kind.enters_history:
                entry = HistoryEntry(event.event_time_us, event.event_id, event.item_id, event.event_type, event.value)
                kept = sorted({*self._entries[event.user_id], entry})[-self._max_history :]
                self._entries[event.user_id] = set(kept)
            if kind is not None and kind.consumes:
                times = self._consumed[event.user_id]
                times[event.item_id] = max(event.event_time_us, times.get(event.item_id, 0))
                newest = sorted(times.items(), key=lambda pair: (pair[1], pair[0].encode()))[-self._max_consumed :]
                self._consumed[event.user_id] = dict(newest)

    async def read(self, user_id: UserId) -> UserHistory:
        entries = tuple(sorted(self._entries.get(user_id, ())))
        consumed = frozenset(self._consumed.get(user_id, ()))
        version = str(hash((entries, consumed))) if entries or consumed else ""
        return UserHistory(entries, consumed, version)
