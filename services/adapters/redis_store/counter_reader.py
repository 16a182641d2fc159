"""The reading side of the counters: the largest sums over all shards, eras and half-lives, exactly."""

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.adapters.redis_store.connecting import FAILURES, Store
from services.adapters.redis_store.keys import SHARDS, directory_key, shard_prefix
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

    def __init__(self, url: str, timeout_s: float) -> None:
        self._store = Store(url, timeout_s)

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
            async with self._store.client() as client:
                sets = await _sorted_sets(client, kind, now_us, surface)
                if among is not None:
                    return _largest(await _sums(client, sets, [each.encode() for each in among]), num_items)
                return await _top(client, sets, num_items)
        except FAILURES as error:
            raise FeatureStoreDown(f"Redis did not answer for what is {kind}: {error}") from error

    async def aclose(self) -> None:
        await self._store.aclose()


async def _sorted_sets(client: Any, kind: CounterKind, now_us: int, surface: str | None) -> list[_SortedSet]:
    """Those of the shards' directories that hold what is asked for and have not expired."""
    shards = [Shard(name.decode()) for name in await client.zrange(SHARDS, 0, -1)]
    pipeline = client.pipeline(transaction=False)
    for shard in shards:
        pipeline.hkeys(directory_key(shard))
    found = []
    for shard, fields in zip(shards, await pipeline.execute() if shards else (), strict=True):
        for field in fields:
            name = _parsed(field)
            if name is not None and name[0].kind is kind and name[1] == surface and name[0].expire_time_us > now_us:
                found.append(_SortedSet(shard_prefix(shard) + field, name[0].decay(now_us)))
    return found


def _parsed(field: bytes) -> tuple[Era, str | None] | None:
    """Era and surface of a directory's field; None for a field that is no sorted set."""
    if not field.startswith(b"z:"):
        return None
    kind, half_life, number, *surface = field.decode().removeprefix("z:").split(":", 3)
    return Era.parse(f"{kind}:{half_life}:{number}"), surface[0] if surface else None


async def _top(client: Any, sets: Sequence[_SortedSet], num_items: int) -> list[tuple[ItemId, float]]:
    """The threshold algorithm (Fagin, Lotem, Naor, 2001): reads every set as deep as the answer needs, no deeper.

    An item that no read prefix holds has at most the sum of the prefixes' last scores.
    """
    depth = max(_FIRST_DEPTH, 2 * num_items)
    while sets:
        pipeline = client.pipeline(transaction=False)
        for each in sets:
            pipeline.zrange(each.key, 0, depth - 1, desc=True, withscores=True)
        prefixes = await pipeline.execute()
        threshold = sum(
            max(float(prefix[-1][1]), 0.0) * each.decay
            for each, prefix in zip(sets, prefixes, strict=True)
            if len(prefix) == depth
        )
        found = _largest(await _sums(client, sets, {item for prefix in prefixes for item, _ in prefix}), num_items)
        if threshold <= 0 or (len(found) == num_items and found[-1][1] > threshold):
            return found
        depth *= 4
    return []


async def _sums(client: Any, sets: Sequence[_SortedSet], items: Iterable[bytes]) -> Mapping[bytes, float]:
    """The decayed sum of each item over all the sets."""
    asked = sorted(items)
    sums = dict.fromkeys(asked, 0.0)
    for start in range(0, len(asked), _ITEMS_A_TRIP):
        piece = asked[start : start + _ITEMS_A_TRIP]
        pipeline = client.pipeline(transaction=False)
        for each in sets:
            pipeline.zmscore(each.key, piece)
        for each, scores in zip(sets, await pipeline.execute() if sets else (), strict=True):
            for item, score in zip(piece, scores, strict=True):
                if score is not None:
                    sums[item] += float(score) * each.decay
    return sums


def _largest(sums: Mapping[bytes, float], num_items: int) -> list[tuple[ItemId, float]]:
    chosen = heapq.nsmallest(num_items, ((-total, item) for item, total in sums.items() if total > 0))
    return [(ItemId(item.decode()), -negative) for negative, item in chosen]
