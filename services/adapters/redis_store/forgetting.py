"""The erasure of users from the histories, for whoever writes no events."""

from collections.abc import Iterator, Sequence
from typing import Final

from services.adapters.redis_store.keys import user_keys
from services.adapters.redis_store.nodes import Call, Nodes, Script
from services.domain.users import Erasure

_FORGET: Final = Script("forget.lua")


class RedisForgetter:
    """Implements the UserForgetter port; blocking."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._nodes = Nodes(url, timeout_s)

    def forget(self, wishes: Sequence[Erasure]) -> None:
        self._nodes.run(calls_to_forget(wishes))

    def close(self) -> None:
        self._nodes.close()


def calls_to_forget(wishes: Sequence[Erasure]) -> Iterator[Call]:
    return (Call(_FORGET, user_keys(wish.user_id), (wish.request_time_us,)) for wish in wishes)
