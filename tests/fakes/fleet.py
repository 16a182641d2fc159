"""The fleet in a dict and a variable."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from services.domain.fleet import FORGOTTEN_AFTER, MAX_PROBLEM, Preparation, ServingWorker
from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from tests.fakes.clock import FakeClock


class FakeFleet:
    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or FakeClock()
        self._workers: dict[str, ServingWorker] = {}
        self._number = 0
        self._open: Preparation | None = None

    def report(self, worker: ServingWorker) -> None:
        oldest = self._clock.now() - FORGOTTEN_AFTER
        self._workers = {each.worker_id: each for each in self._workers.values() if each.alive_time >= oldest}
        self._workers[worker.worker_id] = replace(worker, problem=worker.problem[:MAX_PROBLEM])

    def leave(self, worker_id: str) -> None:
        self._workers.pop(worker_id, None)

    def workers(self) -> Sequence[ServingWorker]:
        return sorted(self._workers.values(), key=lambda each: (each.replica, each.worker_id))

    def preparation(self) -> Preparation | None:
        return None if self._open is None or self._open.is_over(self._clock.now()) else self._open

    def open(
        self, version: ModelVersion, expected_generation: int, deadline: datetime, *, preempt: bool = False
    ) -> Preparation | None:
        if self.preparation() is not None and not preempt:
            return None
        self._number += 1
        self._open = Preparation(self._number, version, expected_generation, deadline)
        return self._open

    def close(self, number: int) -> None:
        if self._open is not None and self._open.number == number:
            self._open = None
