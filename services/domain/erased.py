"""Which events are not to be written any more, because their users asked to be forgotten."""

from collections.abc import Iterable, Sequence
from typing import Final

from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.users import Erasure

_NEVER: Final = -(2**63)


class ErasedUsers:
    """Until when what each of them did is to be forgotten; for one thread."""

    def __init__(self) -> None:
        self._until_us: dict[UserId, int] = {}

    def learn(self, wishes: Iterable[Erasure]) -> Sequence[Erasure]:
        """Returns those that were not known, or are later than what was."""
        newer = [wish for wish in wishes if wish.request_time_us > self._until_us.get(wish.user_id, _NEVER)]
        self._until_us |= {wish.user_id: wish.request_time_us for wish in newer}
        return newer

    def all(self) -> Sequence[Erasure]:
        return [Erasure(user_id, until_us) for user_id, until_us in self._until_us.items()]

    def covers(self, event: Interaction) -> bool:
        """True when the user asked to be forgotten after the event, or at its moment."""
        return event.event_time_us <= self._until_us.get(event.user_id, _NEVER)
