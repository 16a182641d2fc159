"""The counters in memory: the plain statement of what the Redis scripts must do, used as their reference."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from services.adapters.redis_store import CounterLimits
from services.domain.counters import CounterBatch, CounterKind, CounterRules, Era, Shard
from services.domain.errors import RebuildConflict
from services.domain.ids import EventId, ItemId
from services.domain.ports import Clock

ELSEWHERE = ""


@dataclass
class FakeShard:
    fence: int = 0
    windows: dict[EventId, int] = field(default_factory=dict)
    """In which window of offsets an event was counted."""
    rebuild: object = field(default=None, compare=False)
    """Which one it is the copy of, or was."""
    sums: dict[tuple[Era, str], dict[ItemId, float]] = field(default_factory=dict)


class FakeCounters:
    """Implements CounterRebuilder and ItemCounters; `staged` shards are those not yet published."""

    def __init__(self, rules: CounterRules, limits: CounterLimits, clock: Clock) -> None:
        self._rules = rules
        self._limits = limits
        self._clock = clock
        self.shards: defaultdict[Shard, FakeShard] = defaultdict(FakeShard)
        self.copies: defaultdict[Shard, FakeShard] = defaultdict(FakeShard)
        self._written = self.shards

    def staged(self) -> "FakeCounters":
        """The same store, seen by a rebuild of its own."""
        rebuild = FakeCounters(self._rules, self._limits, self._clock)
        rebuild.shards, rebuild.copies = self.shards, self.copies
        rebuild._written = self.copies
        return rebuild

    def fences(self, shards: Sequence[Shard]) -> Mapping[Shard, int]:
        return {shard: self._written[shard].fence for shard in shards}

    def apply(self, batches: Sequence[CounterBatch]) -> Mapping[Shard, int]:
        for batch in batches:
            self._apply(self._written[batch.shard], batch)
        return {batch.shard: self._written[batch.shard].fence for batch in batches}

    def _apply(self, shard: FakeShard, batch: CounterBatch) -> None:
        if not batch.from_offset <= shard.fence < batch.next_offset:
            return
        for offset, event in batch.events:
            window = offset // self._limits.dedupe_offsets
            increments = [each for each in self._rules.increments(event) if self._lives(each.era)]
            if offset < shard.fence or not increments or shard.windows.get(event.event_id, -2) >= window - 1:
                continue
            shard.windows[event.event_id] = window
            for increment in increments:
                sums = self._sums(shard, increment.era, event.surface)
                sums[event.item_id] = sums.get(event.item_id, 0.0) + increment.amount
        shard.fence = batch.next_offset

    def _sums(self, shard: FakeShard, era: Era, surface: str) -> dict[ItemId, float]:
        """Those of the surface, or of all that have none of their own."""
        surfaces = [each for known, each in shard.sums if known == era and each != ELSEWHERE]
        if surface not in surfaces and len(surfaces) >= self._limits.max_surfaces:
            surface = ELSEWHERE
        return shard.sums.setdefault((era, surface), {})

    def _lives(self, era: Era) -> bool:
        return era.expire_time_us > self._clock.now().timestamp() * 1e6

    def discard(self, shards: Sequence[Shard]) -> None:
        self.copies |= {shard: FakeShard(rebuild=self) for shard in shards}

    def publish(self, shard: Shard) -> None:
        if self.copies[shard].rebuild is self:
            self.shards[shard] = self.copies.pop(shard)
        elif self.shards[shard].rebuild is not self:
            raise RebuildConflict(f"Another rebuild has taken {shard}, the test says.")

    async def top(
        self,
        kind: CounterKind,
        num_items: int,
        now_us: int,
        *,
        surface: str | None = None,
        among: Collection[ItemId] | None = None,
    ) -> Sequence[tuple[ItemId, float]]:
        totals: dict[ItemId, float] = defaultdict(float)
        for shard in self.shards.values():
            for (era, where), sums in shard.sums.items():
                if era.kind is kind and surface in (None, where) and era.expire_time_us > now_us:
                    for item_id, total in sums.items():
                        totals[item_id] += total * era.decay(now_us)
        found = [(item, total) for item, total in totals.items() if total > 0 and (among is None or item in among)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0].encode()))[:num_items]
