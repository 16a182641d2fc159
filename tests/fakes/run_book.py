"""The run book in a list."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count

from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from services.domain.runs import NOBODY, Run, RunState


class FakeRunBook:
    def __init__(self, clock: Clock, lease_s: float = 60.0) -> None:
        self._clock = clock
        self._lease = timedelta(seconds=lease_s)
        self._runs: list[Run] = []
        self._holders = (f"holder {number}" for number in count(1))

    def begin(self, kind: str, trigger: str) -> Run | None:
        self.fail_abandoned(kind)
        if any(run.kind == kind and run.state is RunState.RUNNING for run in self._runs):
            return None
        now = self._clock.now()
        run = Run(len(self._runs) + 1, kind, trigger, now, RunState.RUNNING, holder=next(self._holders), alive_time=now)
        self._runs.append(run)
        return run

    def abandoned(self, kind: str) -> Run | None:
        return next((run for run in self._runs if run.kind == kind and self._is_abandoned(run)), None)

    def take_over(self, run: Run) -> Run | None:
        if self._runs[run.run_id - 1].alive_time != run.alive_time:
            return None
        return self._change(run, holder=next(self._holders), alive_time=self._clock.now())

    def keep_alive(self, run: Run) -> bool:
        return self._change(run, alive_time=self._clock.now()) is not None

    def release(self, run: Run) -> bool:
        return self._change(run, holder=NOBODY) is not None

    def finish(self, run: Run, state: RunState, *, version: ModelVersion | None = None, detail: str = "") -> bool:
        return self._change(run, state=state, version=version, detail=detail, end_time=self._clock.now()) is not None

    def reopen(self, run_id: int) -> bool:
        run = next((each for each in self._runs if each.run_id == run_id), None)
        if run is None or run.state in (RunState.RUNNING, RunState.SUCCEEDED):
            return False
        if any(other.run_id > run_id and other.kind == run.kind for other in self._runs):
            return False
        self._runs[run_id - 1] = replace(
            run, state=RunState.RUNNING, holder=NOBODY, end_time=None, detail="", alive_time=self._clock.now()
        )
        return True

    def lease_left_s(self, run_id: int) -> float:
        """For tests: how long the run's lease still lasts."""
        alive_time = self._runs[run_id - 1].alive_time
        assert alive_time is not None
        return (alive_time + self._lease - self._clock.now()).total_seconds()

    def fail_abandoned(self, kind: str) -> Sequence[Run]:
        return self._end(lambda run: run.kind == kind and self._is_abandoned(run))

    def newest(self, limit: int, kind: str | None = None) -> Sequence[Run]:
        return [run for run in self._runs[::-1] if kind in (None, run.kind)][:limit]

    def _is_abandoned(self, run: Run) -> bool:
        assert run.alive_time is not None
        silent = run.holder == NOBODY or abs(self._clock.now() - run.alive_time) > self._lease
        return run.state is RunState.RUNNING and silent

    def _end(self, chosen: Callable[[Run], bool]) -> list[Run]:
        ended = []
        for row, run in enumerate(self._runs):
            if chosen(run):
                self._runs[row] = replace(run, state=RunState.FAILED, detail="abandoned", end_time=self._clock.now())
                ended.append(self._runs[row])
        return ended

    def _change(self, run: Run, **changes: object) -> Run | None:
        """The fence: only its holder changes a run, while it is running."""
        known = self._runs[run.run_id - 1]
        if known.state is not RunState.RUNNING or known.holder != run.holder:
            return None
        self._runs[run.run_id - 1] = replace(known, **changes)  # type: ignore[arg-type]
        return self._runs[run.run_id - 1]
