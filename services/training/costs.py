"""What each stage of a run costs, as it goes: for the registry. Decides nothing."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from services.domain.models import StageCost


class Meter:
    """Counts from `begin` to the next `begin` or `end`, for the stage that was named; a stage may come back.

    has_gpu: whether this process holds a GPU; its seconds count then, busy or not. wall_s, cpu_s: clocks that only go
    forward; the second counts what all threads of this process were given. energy_j: see `energy`.
    """

    def __init__(
        self,
        *,
        has_gpu: bool,
        wall_s: Callable[[], float] = time.monotonic,
        cpu_s: Callable[[], float] = time.process_time,
        energy_j: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._has_gpu, self._wall_s, self._cpu_s, self._energy_j = has_gpu, wall_s, cpu_s, energy_j
        self._stage = ""
        self._since: tuple[float, float, float | None] = 0.0, 0.0, None
        self.costs: dict[str, StageCost] = {}

    def begin(self, stage: str) -> None:
        self.end()
        self._stage, self._since = stage, (self._wall_s(), self._cpu_s(), self._energy_j())

    def end(self) -> None:
        """Closes the stage that is open, if any."""
        if not self._stage:
            return
        wall_s, cpu_s = self._wall_s() - self._since[0], self._cpu_s() - self._since[1]
        now_j, since_j = self._energy_j(), self._since[2]
        energy_j = None if now_j is None or since_j is None else now_j - since_j
        spent = StageCost(wall_s, cpu_s, wall_s if self._has_gpu else None, energy_j)
        before = self.costs.get(self._stage, StageCost(0.0, 0.0, 0.0 if self._has_gpu else None))
        self.costs[self._stage] = before + spent
        self._stage = ""

    def look(self) -> None:
        """Reads the energy's counter, which begins anew too soon for a stage of hours; call it every epoch."""
        self._energy_j()

    def join(self, of_all: Sequence[Mapping[str, StageCost]]) -> None:
        """Adds up what several workers spent; they do so at the same time, so this one's wall clock stands.

        So does its energy, which is the machine's: of workers on others nobody here knows it.
        """
        for stage, mine in self.costs.items():
            others = [costs[stage] for costs in of_all if stage in costs]
            gpus = [each.gpu_s for each in others if each.gpu_s is not None]
            self.costs[stage] = replace(
                mine, cpu_s=sum(each.cpu_s for each in others), gpu_s=sum(gpus) if gpus else None
            )
