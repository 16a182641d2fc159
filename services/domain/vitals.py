"""How a worker's answers went, as sums since it started: what a new model is watched by.

Sums, so that the difference of two looks is what happened between them, and the sum over workers is the fleet's.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

BOUNDS_S: Final = tuple(0.00025 * 1.5**step for step in range(24))
"""Upper bounds of the latency buckets, seconds: 0.25 ms to 2.8 s, so a percentile is right to half its size."""
_NONE: Final = (0,) * (len(BOUNDS_S) + 1)


@dataclass(frozen=True, slots=True)
class Vitals:
    """Calls for recommendations that were answered, well or not."""

    num_calls: int = 0
    num_failed: int = 0
    """By a fault of ours, not of the request."""
    num_degraded: int = 0
    by_latency: tuple[int, ...] = _NONE
    """Calls up to each bound of BOUNDS_S and beyond the one before; the last: beyond all."""

    def __add__(self, other: "Vitals") -> "Vitals":
        return self._combined(other, 1)

    def __sub__(self, other: "Vitals") -> "Vitals":
        return self._combined(other, -1)

    @property
    def failed_share(self) -> float:
        return self.num_failed / self.num_calls if self.num_calls else 0.0

    @property
    def degraded_share(self) -> float:
        return self.num_degraded / self.num_calls if self.num_calls else 0.0

    @property
    def p99_s(self) -> float:
        """The bound that 99 of 100 calls stay within; infinite beyond the last one, 0 without calls."""
        allowed = sum(self.by_latency) * 0.01
        slower = 0
        for bound, num in zip((*BOUNDS_S, float("inf"))[::-1], self.by_latency[::-1], strict=True):
            slower += num
            if slower > allowed:
                return bound
        return 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "num_calls": self.num_calls,
            "num_failed": self.num_failed,
            "num_degraded": self.num_degraded,
            "by_latency": list(self.by_latency),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Of a worker that said nothing of the kind, nothing."""
        return cls(**{**stored, "by_latency": tuple(stored["by_latency"])}) if stored else cls()

    def _combined(self, other: "Vitals", sign: int) -> "Vitals":
        return Vitals(
            self.num_calls + sign * other.num_calls,
            self.num_failed + sign * other.num_failed,
            self.num_degraded + sign * other.num_degraded,
            tuple(a + sign * b for a, b in zip(self.by_latency, other.by_latency, strict=True)),
        )


class VitalsCounter:
    """Counts in one process."""

    def __init__(self) -> None:
        self._num_failed = self._num_degraded = 0
        self._by_latency = list(_NONE)

    def call(self, seconds: float, *, failed: bool) -> None:
        self._by_latency[bisect_left(BOUNDS_S, seconds)] += 1
        self._num_failed += failed

    def degraded(self) -> None:
        """The answer to the present call is simpler than it should be."""
        self._num_degraded += 1

    @property
    def now(self) -> Vitals:
        return Vitals(sum(self._by_latency), self._num_failed, self._num_degraded, tuple(self._by_latency))


def total(each: Sequence[Vitals]) -> Vitals:
    return sum(each, Vitals())
