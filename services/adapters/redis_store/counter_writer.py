"""The writing side of the counters, and of the copies that a rebuild makes: one script call a few hundred events."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from uuid import uuid4

from services.adapters.redis_store.keys import SHARDS, directory_key, shard_prefix
from services.adapters.redis_store.nodes import Call, Nodes, Script, Word
from services.domain.counters import CounterBatch, CounterRules, Era, Shard
from services.domain.errors import RebuildConflict
from services.domain.ids import EventId
from services.domain.interactions import Interaction
from services.domain.ports import Clock

_COUNT: Final = Script("counters.lua")
_FENCE: Final = Script("fence.lua")
_ENLIST: Final = Script("enlist_shards.lua")
_PUBLISH: Final = Script("publish_counters.lua")
_DISCARD: Final = Script("discard_counters.lua")
_EVENTS_A_CALL: Final = 500  # a script call blocks Redis, 5 µs an event
_TRIM_EVERY: Final = (
    8_192  # offsets. Larger: sorted sets grow further beyond their bound; smaller: Redis looks more often
)
_LISTED_S: Final = 400 * 86_400  # larger: shards of topics long gone are read; smaller: a silent one is in no list
_NUM_HASH_BYTES: Final = 8  # smaller: two ids may be taken for one, 1 in 2^64 a pair now; larger: memory


@dataclass(frozen=True, slots=True)
class CounterLimits:
    """Bounds of what is kept in each shard; see RedisSettings for what each costs."""

    max_items: int
    max_surfaces: int
    dedupe_offsets: int
    ttl_s: int


class RedisCounterWriter:
    """Implements the CounterWriter port; blocking. Staged: the CounterRebuilder port, for one rebuild."""

    def __init__(
        self,
        url: str,
        rules: CounterRules,
        limits: CounterLimits,
        clock: Clock,
        *,
        staged: bool = False,
        timeout_s: float = 5.0,
    ) -> None:
        self._nodes = Nodes(url, timeout_s)
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self._staged = staged
        self._token = uuid4().hex

    def fences(self, shards: Sequence[Shard]) -> dict[Shard, int]:
        calls = [Call(_FENCE, [directory_key(shard, staged=self._staged)], ()) for shard in shards]
        return dict(zip(shards, self._nodes.run(calls), strict=True))

    def apply(self, batches: Sequence[CounterBatch]) -> dict[Shard, int]:
        now_s = int(self._clock.now().timestamp())
        counted_for: list[Shard] = []

        def calls() -> Iterator[Call]:
            for batch in batches:
                for call in self._calls(batch, now_s):
                    counted_for.append(batch.shard)
                    yield call
            if batches and not self._staged:
                yield _listing(batch.shard for batch in batches)

        answers = self._nodes.run(calls())
        return {shard: int(fence) for shard, fence in zip(counted_for, answers, strict=False)}

    def discard(self, shards: Sequence[Shard]) -> None:
        owner: list[Word] = [self._token, self._limits.ttl_s]
        self._nodes.run(
            [
                Call(_DISCARD, [directory_key(shard, staged=True)], [shard_prefix(shard, staged=True), *owner])
                for shard in shards
            ]
        )

    def publish(self, shard: Shard) -> None:
        keys = [directory_key(shard), directory_key(shard, staged=True)]
        arguments: list[Word] = [shard_prefix(shard), shard_prefix(shard, staged=True), self._token]
        is_done, _ = self._nodes.run([Call(_PUBLISH, keys, arguments), _listing([shard])])
        if not is_done:
            raise RebuildConflict(f"Another rebuild has taken {shard}; wait for it, then start again.")

    def close(self) -> None:
        self._nodes.close()

    def _calls(self, batch: CounterBatch, now_s: int) -> Iterator[Call]:
        """Several for a large batch; each ends where the next begins, so a refused one stops those behind it."""
        events = batch.events
        from_offset = batch.from_offset
        for start in range(0, max(len(events), 1), _EVENTS_A_CALL):
            piece = events[start : start + _EVENTS_A_CALL]
            is_last = start + _EVENTS_A_CALL >= len(events)
            next_offset = batch.next_offset if is_last else piece[-1][0] + 1
            yield self._call(batch.shard, from_offset, next_offset, piece, now_s)
            from_offset = next_offset

    def _call(
        self, shard: Shard, from_offset: int, next_offset: int, events: Sequence[tuple[int, Interaction]], now_s: int
    ) -> Call:
        eras: dict[Era, int] = {}
        counted: list[Word] = []
        for offset, event in events:
            increments = self._rules.increments(event)
            if any(increment.era.expire_time_us > now_s * 1_000_000 for increment in increments):
                counted += (offset, _hash(event.event_id), event.item_id, event.surface)
                for increment in increments:
                    counted += (eras.setdefault(increment.era, len(eras) + 1), increment.amount)
        limits = self._limits
        arguments: list[Word] = [
            shard_prefix(shard, staged=self._staged),
            now_s,
            from_offset,
            next_offset,
            limits.dedupe_offsets,
            _TRIM_EVERY,
            limits.max_surfaces,
            limits.max_items,
            limits.ttl_s,
            len(eras),
        ]
        for era in eras:
            arguments += (str(era), era.expire_time_us // 1_000_000)
        return Call(_COUNT, [directory_key(shard, staged=self._staged)], arguments + counted)


def _listing(shards: Iterable[Shard]) -> Call:
    """The call that tells readers of these shards."""
    return Call(_ENLIST, [SHARDS], [_LISTED_S, *shards])


def _hash(event_id: EventId) -> bytes:
    return blake2b(event_id.encode(), digest_size=_NUM_HASH_BYTES).digest()
