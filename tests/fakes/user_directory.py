"""The user directory in two dicts."""

from collections.abc import Mapping, Sequence

from services.domain.ids import UserId
from services.domain.users import Erasure, User


class FakeUserDirectory:
    def __init__(self) -> None:
        self._users: dict[UserId, User] = {}
        self._wished_us: dict[UserId, int] = {}
        self._done_us: dict[UserId, int] = {}

    def upsert(self, states: Sequence[User]) -> None:
        for user in states:
            known = self._users.get(user.user_id)
            is_newest = known is None or user.update_time_us >= known.update_time_us
            if is_newest and user.update_time_us > self._wished_us.get(user.user_id, -1):
                self._users[user.user_id] = user

    def get(self, user_ids: Sequence[UserId]) -> Mapping[UserId, User]:
        return {user_id: self._users[user_id] for user_id in user_ids if user_id in self._users}

    def request_erasures(self, wishes: Sequence[Erasure]) -> None:
        for wish in wishes:
            wished_us = max(wish.request_time_us, self._wished_us.get(wish.user_id, -1))
            self._wished_us[wish.user_id] = wished_us
            known = self._users.get(wish.user_id)
            if known is not None and known.update_time_us <= wished_us:
                del self._users[wish.user_id]

    def open_erasures(self) -> Sequence[Erasure]:
        return [wish for wish in self.erasures() if wish.request_time_us > self._done_us.get(wish.user_id, -1)]

    def erasures(self) -> Sequence[Erasure]:
        wishes = [Erasure(user_id, wished_us) for user_id, wished_us in self._wished_us.items()]
        return sorted(wishes, key=lambda wish: (wish.request_time_us, wish.user_id))

    def close_erasures(self, done: Sequence[Erasure]) -> None:
        for erasure in done:
            self._done_us[erasure.user_id] = max(erasure.request_time_us, self._done_us.get(erasure.user_id, -1))

    def reopen_erasures(self, found: Sequence[Erasure]) -> None:
        for erasure in found:
            if erasure.request_time_us >= self._wished_us.get(erasure.user_id, -1):
                self._done_us.pop(erasure.user_id, None)
