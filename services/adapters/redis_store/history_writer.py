"""The writing side of the histories: one script call a user, many users a round trip."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.adapters.redis_store.keys import to_member, user_keys
from services.adapters.redis_store.nodes import Call, Nodes, Script, Word
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import UserId
from services.domain.interactions import Interaction

_SCRIPT: Final = Script("history.lua")
_FORGET: Final = Script("forget.lua")
# Larger: a user's history outgrows Redis's compact encoding before it is trimmed, and stays so; smaller: more calls.
_EVENTS_A_CALL: Final = 50


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """Bounds of what is kept for a user; see RedisSettings for what each costs."""

    max_history: int
    max_consumed: int
    ttl_s: int
    max_shown: int = 500


class RedisHistoryWriter:
    """Implements the HistoryWriter port; blocking."""

    def __init__(self, url: str, event_types: EventTypes, limits: HistoryLimits, timeout_s: float = 5.0) -> None:
        self._nodes = Nodes(url, timeout_s)
        self._types = {kind.name: kind for kind in event_types.declared if _leaves_a_trace(kind)}
        self._bounds = (limits.max_history, limits.max_consumed, limits.max_shown, limits.ttl_s)

    def apply(self, interactions: Sequence[Interaction]) -> None:
        by_user: dict[UserId, list[Interaction]] = defaultdict(list)
        for interaction in interactions:
            if interaction.event_type in self._types:
                by_user[interaction.user_id].append(interaction)
        self._nodes.run(call for user_id, events in by_user.items() for call in self._calls(user_id, events))

    def forget(self, user_ids: Sequence[UserId]) -> None:
        self._nodes.run([Call(_FORGET, user_keys(user_id), ()) for user_id in user_ids])

    def close(self) -> None:
        self._nodes.close()

    def _calls(self, user_id: UserId, events: list[Interaction]) -> Iterator[Call]:
        keys = user_keys(user_id)
        for start in range(0, len(events), _EVENTS_A_CALL):
            arguments: list[Word] = [*self._bounds]
            for event in events[start : start + _EVENTS_A_CALL]:
                kind, item_id = self._types[event.event_type], event.item_id
                arguments += (
                    event.event_time_us,
                    to_member(event.event_id, item_id, event.event_type, event.value) if kind.enters_history else b"",
                    item_id if kind.consumes else b"",
                    item_id if kind.role is Role.IMPRESSION else b"",
                )
            yield Call(_SCRIPT, keys, arguments)


def _leaves_a_trace(kind: EventType) -> bool:
    return kind.enters_history or kind.consumes or kind.role is Role.IMPRESSION
