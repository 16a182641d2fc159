"""The reading side of the counters: the largest sums over all shards, eras and half-lives, exactly."""

import asyncio
import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.adapters.redis_store.connecting import RedisStore
from services.adapters.redis_store.keys import SHARDS, directory_key, shard_prefix
from services.adapters.redis_store.link import FAILURES
from services.adapters.redis_store.pipelined import Command, Word
from services.domain.counters import CounterKind, Era, Shard
from services.domain.errors import FeatureStoreDown
from services.domain.ids import ItemId

_FIRST_DEPTH: Final = 128  # larger: more bytes for a short list; smaller: more rounds for a long one
_ITEMS_A_TRIP: Final = 1_000  # larger: Redis answers nobody else meanwhile; smaller: more round trips


@dataclass(frozen=True, slots=True)
class _SortedSet:
    key: bytes
    decay: float


class RedisItemCounters:
    """Implements the ItemCounters port."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def top(
        self,
        kind: CounterKind,
        num_items: int,
        now_us: int,
        *,
        surface: str | None = None,
        among: Collection[ItemId] | None = None,
    ) -> Sequence[tuple[ItemId, float]]:
        try:
            shards = await self._sorted_sets(kind, now_us, surface)
            if among is None:
                return await self._top(shards, num_items)
            return _largest(await self._sums(shards, [each.encode() for each in among]), num_items)
        except FAILURES as error:
            raise FeatureStoreDown(f"Redis did not answer for what is {kind}: {error}") from error

    async def aclose(self) -> None:
        """Closes the store, for all who share it."""
        await self._store.aclose()

    async def _sorted_sets(self, kind: CounterKind, now_us: int, surface: str | None) -> list[list[_SortedSet]]:
        """Those that hold what is asked for and have not expired, by shard."""
        names = await self._store.ask(SHARDS, "ZRANGE", SHARDS, 0, -1)
        shards = [Shard(name.decode()) for name in names]
        directories = [directory_key(shard) for shard in shards]
        listed = await self._answers([(key, ("HKEYS", key)) for key in directories])
        found = []
        for shard, fields in zip(shards, listed, strict=True):
            named = [(field, _parsed(field)) for field in fields]
            found.append(
                [
                    _SortedSet(shard_prefix(shard) + field, name[0].decay(now_us))
                    for field, name in named
                    if name and name[0].kind is kind and surface in (None, name[1]) and name[0].expire_time_us > now_us
                ]
            )
        return [sets for sets in found if sets]

    async def _top(self, shards: Sequence[Sequence[_SortedSet]], num_items: int) -> list[tuple[ItemId, float]]:
        """The threshold algorithm (Fagin, Lotem, Naor, 2001): reads every set as deep as the answer needs, no deeper.

        An item that no prefix read holds has at most the sum of the prefixes' last scores.
        """
        depth = max(_FIRST_DEPTH, 2 * num_items)
        while True:
            prefixes = await self._of_each(shards, "ZREVRANGE", 0, depth - 1, "WITHSCORES")
            threshold = sum(
                max(float(prefix[-1]), 0.0) * each.decay for each, prefix in prefixes if len(prefix) == 2 * depth
            )
            seen = {item for _, prefix in prefixes for item in prefix[::2]}  # then its score, and so on
            found = _largest(await self._sums(shards, seen), num_items)
            if threshold <= 0 or (len(found) == num_items and found[-1][1] > threshold):
                return found
            depth *= 4

    async def _sums(self, shards: Sequence[Sequence[_SortedSet]], items: Iterable[bytes]) -> Mapping[bytes, float]:
        """The decayed sum of each item over all the sets."""
        asked = sorted(items)
        sums = dict.fromkeys(asked, 0.0)
        for start in range(0, len(asked), _ITEMS_A_TRIP):
            piece = asked[start : start + _ITEMS_A_TRIP]
            for each, scores in await self._of_each(shards, "ZMSCORE", *piece):
                for item, score in zip(piece, scores, strict=True):
                    if score is not None:
                        sums[item] += float(score) * each.decay
        return sums

    async def _of_each(
        self, shards: Sequence[Sequence[_SortedSet]], verb: str, *words: Word
    ) -> list[tuple[_SortedSet, Any]]:
        """Asks the same of every set; the sets with their answers."""
        sets = [each for shard in shards for each in shard]
        return list(
            zip(sets, await self._answers([(each.key, (verb, each.key, *words)) for each in sets]), strict=True)
        )

    async def _answers(self, commands: Sequence[tuple[bytes, Command]]) -> list[Any]:
        """In one trip: all of them go out in one turn of the event loop."""
        return await asyncio.gather(*(self._store.ask(key, *command) for key, command in commands))


def _parsed(field: bytes) -> tuple[Era, str] | None:
    """Era and surface of a directory's field; None for a field that is no sorted set."""
    if not field.startswith(b"z:"):
        return None
    kind, half_life, number, surface = field.decode().removeprefix("z:").split(":", 3)
    return Era.parse(f"{kind}:{half_life}:{number}"), surface


def _largest(sums: Mapping[bytes, float], num_items: int) -> list[tuple[ItemId, float]]:
    chosen = heapq.nsmallest(num_items, ((-total, item) for item, total in sums.items() if total > 0))
    return [(ItemId(item.decode()), -negative) for negative, item in chosen]
