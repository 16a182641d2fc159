"""When a process that died is started again: soon at first, later and later while it keeps dying."""

from dataclasses import dataclass

FIRST_DELAY_S = 1.0
MAX_DELAY_S = 30.0  # larger: a mended cause takes longer to help; smaller: a hopeless process eats the CPU
HEALTHY_AFTER_S = 60.0  # who lived this long begins anew


@dataclass
class RestartPlan:
    """The deaths of one process, and the moment of its next start. Times are those of a monotonic clock, seconds."""

    num_restarts: int = 0
    due_at: float | None = None
    _delay_s: float = 0.0

    def died(self, now: float, lived_s: float) -> float:
        """Notes a death and returns the delay until the next start."""
        healthy = lived_s >= HEALTHY_AFTER_S
        self._delay_s = FIRST_DELAY_S if healthy or not self._delay_s else min(2 * self._delay_s, MAX_DELAY_S)
        self.due_at = now + self._delay_s
        return self._delay_s

    def is_due(self, now: float) -> bool:
        return self.due_at is not None and now >= self.due_at

    def started(self) -> None:
        self.num_restarts += 1
        self.due_at = None
