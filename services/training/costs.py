"""What each stage of a run costs, as it goes: for the registry. Decides nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from services.domain.models import StageCost


class Meter:
    """Counts from `begin` to the next `begin` or `end`, for the stage that was named; a stage may come back.

    has_gpu: whether this process holds a GPU; its seconds count then, busy or not. wall_s, cpu_s: clocks that only go
    forward; the second counts what all threads of this process were given.
    """

    def __init__(
        self,
        *,
        has_gpu: bool,
        wall_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
    ) -> None:
        self._has_gpu, self._wall_s, self._cpu_s = has_gpu, wall_s, cpu_s
        self._stage = ""
        self._since = 0.0, 0.0
        self.costs: dict[str, StageCost] = {}

    def begin(self, stage: str) -> None:
        self.end()
        self._stage, self._since = stage, (self._wall_s(), self._cpu_s())

    def end(self) -> None:
        """Closes the stage that is open, if any."""
        if not self._stage:
            return
        wall_s, cpu_s = self._wall_s() - self._since[0], self._cpu_s() - self._since[1]
        spent = StageCost(wall_s, cpu_s, wall_s if self._has_gpu else None)
        before = self.costs.get(self._stage, StageCost(0.0, 0.0, 0.0 if self._has_gpu else None))
        self.costs[self._stage] = before + spent
        self._stage = ""

    def join(self, of_all: Sequence[Mapping[str, StageCost]]) -> None:
        """Adds up what several workers spent; they do so at the same time, so this one's wall clock stands."""
        for stage, mine in self.costs.items():
            others = [costs[stage] for costs in of_all if stage in costs]
            gpus = [each.gpu_s for each in others if each.gpu_s is not None]
            self.costs[stage] = replace(
                mine, cpu_s=sum(each.cpu_s for each in others), gpu_s=sum(gpus) if gpus else None
            )
