"""What serving knows of users at this moment, and the answers it gave lately."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from services.domain.counters import CounterBatch, CounterKind, Shard
from services.domain.ids import ItemId, UserId
from services.domain.interactions import Interaction, UserHistory
from services.domain.users import Erasure


class UserForgetter(Protocol):
    def forget(self, wishes: Sequence[Erasure]) -> None:
        """Deletes what these users did up to the time of their wish, and nothing later; may be repeated.

        Blocks until it is gone; raises FeatureStoreDown.
        """
        ...


class UserLister(Protocol):
    def users(self) -> Iterator[Sequence[UserId]]:
        """Every user who has a history, each once, some at a time and in no order; blocks between them.

        Whoever comes or goes meanwhile is among them or not. Raises FeatureStoreDown.
        """
        ...


class HistoryWriter(UserForgetter, Protocol):
    """The online store's writing side. Idempotent: any order and repetition of events gives one state."""

    def apply(self, interactions: Iterable[Interaction]) -> None:
        """Takes them one by one and blocks until all are applied; raises FeatureStoreDown."""
        ...


class HistoryReader(Protocol):
    """The online store's reading side, for serving."""

    async def read(self, user_id: UserId) -> UserHistory:
        """The user's history; an empty one for an unknown user. Raises FeatureStoreDown."""
        ...

    async def read_with_answer(self, user_id: UserId, key: bytes) -> tuple[UserHistory, bytes | None]:
        """The same, and what a ResultCache keeps for the user and the key, in one trip. Raises FeatureStoreDown."""
        ...

    async def read_version(self, user_id: UserId) -> str:
        """The version of the user's history alone. Raises FeatureStoreDown."""
        ...

    async def read_shown(self, user_id: UserId) -> Mapping[ItemId, int]:
        """The items shown to the user, and when each was last, in µs; bounded. Raises FeatureStoreDown."""
        ...


class CounterWriter(Protocol):
    """The popular and trending counters' writing side: fenced by offset, so that every record counts once.

    A shard's state depends on its records alone, not on how they were batched, repeated or interrupted. Blocks; raises
    FeatureStoreDown.
    """

    def fences(self, shards: Sequence[Shard]) -> Mapping[Shard, int]:
        """Where each shard is to be read on from; 0 for one that does not exist."""
        ...

    def apply(self, batches: Sequence[CounterBatch]) -> Mapping[Shard, int]:
        """Counts the records at or beyond each shard's fence and moves the fence behind them; returns the fences.

        A batch that begins beyond the fence would leave a gap: it is not applied, and the fence returned is below its
        `next_offset`. The caller then reads again from there.
        """
        ...


class CounterRebuilder(CounterWriter, Protocol):
    """A CounterWriter of copies that nobody reads until they take the place of the shards they are copies of.

    An instance is one rebuild; a copy is of the rebuild that discarded it last.
    """

    def discard(self, shards: Sequence[Shard]) -> None:
        """Empties the copies; they are this rebuild's from now on."""
        ...

    def publish(self, shard: Shard) -> None:
        """Puts the copy in the shard's place, fence included, in one step; an empty copy empties it. May be repeated.

        Raises RebuildConflict, and leaves the shard as it is, when the copy is not, or no longer, this rebuild's.
        """
        ...


class ItemCounters(Protocol):
    """The counters' reading side."""

    async def top(
        self,
        kind: CounterKind,
        num_items: int,
        now_us: int,
        *,
        surface: str | None = None,
        among: Collection[ItemId] | None = None,
    ) -> Sequence[tuple[ItemId, float]]:
        """The items with the largest decayed sums, ties by item id; sums at or below zero are left out.

        surface: of the events there alone; None: everywhere. among: only these items. Raises FeatureStoreDown.
        """
        ...


class ResultCache(Protocol):
    """Best effort: a failing cache is a miss, never an error. An answer is kept for a user and a key; "" is nobody."""

    async def get(self, user_id: UserId, key: bytes) -> bytes | None: ...

    async def put(self, user_id: UserId, key: bytes, value: bytes) -> None: ...
