"""The run book in a list."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from services.domain.runs import Run, RunState


class FakeRunBook:
    def __init__(self, clock: Clock, lease_s: float = 60.0) -> None:
        self._clock = clock
        self._lease = timedelta(seconds=lease_s)
        self._runs: list[Run] = []
        self._alive_times: dict[int, datetime] = {}

    def begin(self, kind: str, trigger: str) -> Run | None:
        self.fail_abandoned()
        if any(run.kind == kind and run.state is RunState.RUNNING for run in self._runs):
            return None
        run = Run(len(self._runs) + 1, kind, trigger, self._clock.now(), RunState.RUNNING)
        self._runs.append(run)
        self._alive_times[run.run_id] = self._clock.now()
        return run

    def keep_alive(self, run_id: int) -> bool:
        self._alive_times[run_id] = self._clock.now()
        return any(run.run_id == run_id and run.state is RunState.RUNNING for run in self._runs)

    def finish(self, run_id: int, state: RunState, *, version: ModelVersion | None = None, detail: str = "") -> bool:
        return bool(self._end(lambda run: run.run_id == run_id, state, version, detail))

    def lease_left_s(self, run_id: int) -> float:
        """For tests: how long the run's lease still lasts."""
        return (self._alive_times[run_id] + self._lease - self._clock.now()).total_seconds()

    def fail_abandoned(self) -> Sequence[Run]:
        oldest = self._clock.now() - self._lease
        return self._end(lambda run: self._alive_times[run.run_id] < oldest, RunState.FAILED, None, "abandoned")

    def newest(self, limit: int) -> Sequence[Run]:
        return self._runs[::-1][:limit]

    def _end(
        self, chosen: Callable[[Run], bool], state: RunState, version: ModelVersion | None, detail: str
    ) -> list[Run]:
        ended = []
        for row, run in enumerate(self._runs):
            if run.state is RunState.RUNNING and chosen(run):
                self._runs[row] = replace(run, state=state, version=version, detail=detail, end_time=self._clock.now())
                ended.append(self._runs[row])
        return ended
