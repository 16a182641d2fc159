"""The writing side of the histories: a script call for some users of one place, many calls a round trip."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from services.adapters.redis_store.forgetting import forget
from services.adapters.redis_store.keys import to_member, user_keys
from services.adapters.redis_store.nodes import Call, Nodes, Script, Word
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.users import Erasure

_SCRIPT: Final = Script("history.lua")
# Larger: a user's history outgrows Redis's compact encoding before it is trimmed, and stays so; smaller: more calls.
_EVENTS_A_USER: Final = 50
_USERS_A_CALL: Final = 50  # larger: Redis answers nobody else for longer, 25 µs a user; smaller: more calls
_EVENTS_TOGETHER: Final = 500  # larger: Redis waits longer for its first call; smaller: a user's events take more calls


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

    def apply(self, interactions: Iterable[Interaction]) -> None:
        self._nodes.run(self._calls(iter(interactions)))

    def forget(self, wishes: Sequence[Erasure]) -> None:
        forget(self._nodes, wishes)

    def close(self) -> None:
        self._nodes.close()

    def _calls(self, interactions: Iterator[Interaction]) -> Iterator[Call]:
        """Redis is at work on the first ones before the last ones are looked at."""
        while together := list(islice(interactions, _EVENTS_TOGETHER)):
            by_user: dict[UserId, list[Interaction]] = defaultdict(list)
            for interaction in together:
                if interaction.event_type in self._types:
                    by_user[interaction.user_id].append(interaction)
            places: dict[int, tuple[list[bytes], list[Word]]] = {}
            for user_id, events in by_user.items():
                keys = user_keys(user_id)
                place = self._nodes.place_of(keys.history)
                for start in range(0, len(events), _EVENTS_A_USER):
                    piece = events[start : start + _EVENTS_A_USER]
                    if place not in places:
                        places[place] = ([], [*self._bounds])
                    all_keys, arguments = places[place]
                    all_keys += keys
                    arguments.append(len(piece))
                    for event in piece:
                        arguments += self._arguments(event)
                    if len(all_keys) >= 4 * _USERS_A_CALL:
                        yield Call(_SCRIPT, *places.pop(place))
            for all_keys, arguments in places.values():
                yield Call(_SCRIPT, all_keys, arguments)

    def _arguments(self, event: Interaction) -> tuple[Word, Word, Word, Word]:
        kind, item_id = self._types[event.event_type], event.item_id
        return (
            event.event_time_us,
            to_member(event.event_id, item_id, event.event_type, event.value) if kind.enters_history else b"",
            item_id if kind.consumes else b"",
            item_id if kind.role is Role.IMPRESSION else b"",
        )


def _leaves_a_trace(kind: EventType) -> bool:
    return kind.enters_history or kind.consumes or kind.role is Role.IMPRESSION
