"""The erasure of users from the histories, for whoever writes no events."""

from collections.abc import Sequence
from typing import Final

from services.adapters.redis_store.keys import user_keys
from services.adapters.redis_store.nodes import Call, Nodes, Script
from services.domain.users import Erasure

_FORGET: Final = Script("forget.lua")
_USERS_TOGETHER: Final = 1_000  # larger: memory, 2 KB each; smaller: more round trips


class RedisForgetter:
    """Implements the UserForgetter port; blocking."""

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._nodes = Nodes(url, timeout_s)

    def forget(self, wishes: Sequence[Erasure]) -> None:
        forget(self._nodes, wishes)

    def close(self) -> None:
        self._nodes.close()


def forget(nodes: Nodes, wishes: Sequence[Erasure]) -> None:
    """What UserForgetter promises, of whoever has the nodes."""
    for start in range(0, len(wishes), _USERS_TOGETHER):
        some = wishes[start : start + _USERS_TOGETHER]
        nodes.run(Call(_FORGET, user_keys(wish.user_id), (wish.request_time_us,)) for wish in some)
