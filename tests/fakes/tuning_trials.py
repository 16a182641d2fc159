"""Studies and trials in dicts."""

import threading
from collections.abc import Sequence
from dataclasses import replace

from services.domain.ports import Clock
from services.domain.tuning import Study, Trial, TrialState


class FakeTuningTrials:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._studies: dict[str, Study] = {}
        self._trials: dict[tuple[str, int], Trial] = {}
        self._lock = threading.Lock()

    def study(self, name: str) -> Study | None:
        return self._studies.get(name)

    def open(self, study: Study) -> Study:
        return self._studies.setdefault(study.name, study)

    def all(self, study: str) -> Sequence[Trial]:
        now = self._clock.now()
        with self._lock:
            for key, trial in self._trials.items():
                if trial.state is TrialState.RUNNING and trial.limit_time < now:
                    self._trials[key] = replace(trial, state=TrialState.LOST, end_time=now, detail="lost")
            return [trial for (name, _), trial in sorted(self._trials.items()) if name == study]

    def begin(self, trial: Trial) -> bool:
        with self._lock:
            return self._trials.setdefault((trial.study, trial.number), trial) is trial

    def finish(self, trial: Trial) -> bool:
        with self._lock:
            stored = self._trials[trial.study, trial.number]
            if stored.state is not TrialState.RUNNING or stored.worker != trial.worker:
                return False
            self._trials[trial.study, trial.number] = replace(trial, end_time=self._clock.now())
            return True
