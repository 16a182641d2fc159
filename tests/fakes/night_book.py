"""The night book in a dict."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from services.domain.nights import MAX_LOG_CHARS, StepRow, StepState
from services.domain.ports import Clock
from services.domain.runs import NOBODY, Run, RunState
from tests.fakes.run_book import FakeRunBook


class FakeNightBook:
    def __init__(self, clock: Clock, runs: FakeRunBook) -> None:
        self._clock = clock
        self._runs = runs
        self._rows: dict[tuple[int, str], StepRow] = {}

    def steps(self, run_id: int) -> Sequence[StepRow]:
        return [row for row in self._rows.values() if row.run_id == run_id]

    def begin(self, run: Run, name: str, inputs: Mapping[str, Any]) -> StepRow | None:
        if not self._runs.keep_alive(run):
            return None
        earlier = self._rows.get((run.run_id, name))
        attempts = 1 if earlier is None else earlier.attempts + 1
        row = StepRow(run.run_id, name, StepState.RUNNING, attempts, self._clock.now(), inputs=dict(inputs))
        self._rows[run.run_id, name] = row
        return row

    def end(
        self,
        run: Run,
        name: str,
        state: StepState,
        *,
        outputs: Mapping[str, Any] | None = None,
        detail: str = "",
        log: str = "",
    ) -> bool:
        row = self._rows.get((run.run_id, name))
        if not self._runs.keep_alive(run) or row is None:
            return False
        self._rows[run.run_id, name] = replace(
            row,
            state=state,
            attempts=row.attempts - (state is StepState.INTERRUPTED),
            end_time=self._clock.now(),
            outputs=None if outputs is None else dict(outputs),
            detail=detail,
            log=log[-MAX_LOG_CHARS:],
        )
        return True

    def accept(self, run_id: int, name: str, detail: str) -> bool:
        row = self._rows.get((run_id, name))
        if row is None or row.state is not StepState.REFUSED or not self._is_idle(run_id):
            return False
        self._rows[run_id, name] = replace(row, state=StepState.ACCEPTED, detail=detail)
        return True

    def forgive(self, run_id: int) -> None:
        for key, row in self._rows.items():
            if row.run_id == run_id and row.state is StepState.FAILED and self._is_idle(run_id):
                self._rows[key] = replace(row, attempts=0)

    def _is_idle(self, run_id: int) -> bool:
        run = next(each for each in self._runs.newest(1_000) if each.run_id == run_id)
        return run.state is not RunState.RUNNING or run.holder == NOBODY
