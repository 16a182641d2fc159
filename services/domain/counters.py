"""What is popular and what is trending: sums of event weights that decay with time, kept without ever being rewritten.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009): an event adds weight · 2^((event_time - landmark) / h)
to its item, h the half-life; a reader divides by 2^((now - landmark) / h). Nothing stored ages by itself, so events may
come in any order. Landmarks are the starts of eras of `ERA_HALF_LIVES` half-lives, so no sum overflows a double.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, NewType

from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.streams import Partition

# An era is kept until the next one ends. Larger: kept longer; smaller: more is lost with an era, 2^-20 of it at 20.
ERA_HALF_LIVES: Final = 20

_MAX_KNOWN: Final = 1_024  # eras made once; events of more of them are old ones, read for a rebuild

Shard = NewType("Shard", str)
"""Counters that only the records of one Kafka partition, or only imported events, add to."""
IMPORTED: Final = Shard("imported")
"""The shard of events that did not come from the topic; only a rebuild writes it."""


def shard_of(partition: Partition) -> Shard:
    return Shard(f"{partition.topic}/{partition.number}")  # no topic's name holds a slash


class CounterKind(StrEnum):
    """Popular: each event type decays with its own half-life. Trending: all decay with the same short one."""

    POPULAR = "popular"
    TRENDING = "trending"


@dataclass(frozen=True, slots=True)
class Era:
    """The sums of one kind and half-life that share a landmark: events of the same stretch of time."""

    kind: CounterKind
    half_life_us: int
    number: int

    @property
    def landmark_us(self) -> int:
        return self.number * ERA_HALF_LIVES * self.half_life_us

    @property
    def expire_time_us(self) -> int:
        """When its newest event counts 2^-20, and the era is forgotten."""
        return (self.number + 2) * ERA_HALF_LIVES * self.half_life_us

    def decay(self, now_us: int) -> float:
        """What a stored sum is to be multiplied by; at most 1: what is far ahead of now must not count without end."""
        return math.exp2(min(self.landmark_us - now_us, 0) / self.half_life_us)

    def __str__(self) -> str:
        return f"{self.kind}:{self.half_life_us}:{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Era":
        kind, half_life_us, number = text.split(":")
        return cls(CounterKind(kind), int(half_life_us), int(number))


class Increment(NamedTuple):
    """What one event adds to its item's sum in one era."""

    era: Era
    amount: float


class CounterRules:
    """How much each event adds, and where: the same for the live path, a rebuild and the tests."""

    def __init__(self, types: EventTypes, trending_half_life_s: float) -> None:
        self._types = {kind.name: kind for kind in types.declared}
        # Where no value is judged, every event of a type says the same.
        self._weights = {
            kind.name: kind.judge(None).weight
            for kind in types.declared
            if kind.positive_from is None and kind.negative_to is None
        }
        self._popular = {kind.name: _Eras(CounterKind.POPULAR, kind.half_life_s) for kind in types.declared}
        self._trending = _Eras(CounterKind.TRENDING, trending_half_life_s)

    def increments(self, event: Interaction) -> tuple[Increment, ...]:
        """One for popular, one for trending; none for an event that says nothing, such as an impression."""
        name = event.event_type
        weight = self._weights.get(name)
        if weight is None:
            weight = self._types[name].judge(event.value).weight if name in self._types else 0.0
        if weight == 0:
            return ()
        time_us = event.event_time_us
        return self._popular[name].increment(time_us, weight), self._trending.increment(time_us, weight)


class _Eras:
    """The eras of one kind and half-life."""

    def __init__(self, kind: CounterKind, half_life_s: float) -> None:
        self._kind = kind
        self._half_life_us = round(half_life_s * 1e6)
        self._span_us = ERA_HALF_LIVES * self._half_life_us
        self._known: dict[int, Era] = {}

    def increment(self, time_us: int, weight: float) -> Increment:
        number, since_us = divmod(time_us, self._span_us)
        era = self._known.get(number)
        if era is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            era = self._known[number] = Era(self._kind, self._half_life_us, number)
        return Increment(era, weight * 2.0 ** (since_us / self._half_life_us))


@dataclass(frozen=True, slots=True)
class CounterBatch:
    """The records of one shard from `from_offset` up to, not including, `next_offset`; nothing lies between them.

    Events are those among the records that are valid, with their offsets, in their order.
    """

    shard: Shard
    from_offset: int
    next_offset: int
    events: Sequence[tuple[int, Interaction]]
