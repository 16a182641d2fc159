"""What serving knows of users at this moment, and the answers it gave lately."""

from collections.abc import Sequence
from typing import Protocol

from services.domain.ids import UserId
from services.domain.interactions import Interaction, UserHistory


class HistoryWriter(Protocol):
    """The online store's writing side. Idempotent: any order and repetition of events gives one state."""

    def apply(self, interactions: Sequence[Interaction]) -> None:
        """Blocks until applied; raises FeatureStoreDown."""
        ...


class HistoryReader(Protocol):
    """The online store's reading side, for serving."""

    async def read(self, user_id: UserId) -> UserHistory:
        """The user's history; an empty one for an unknown user. Raises FeatureStoreDown."""
        ...


class ResultCache(Protocol):
    """Best effort: a failing cache is a miss, never an error."""

    async def get(self, key: bytes) -> bytes | None: ...

    async def put(self, key: bytes, value: bytes) -> None: ...
