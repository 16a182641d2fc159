"""Whether enough workers are ready for the flip, judged by what they say of themselves. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from services.domain.errors import WorkersNotReady
from services.domain.fleet import SILENT_AFTER, Preparation, ServingWorker, is_enough


class Readiness:
    """Of one preparation. min_ready: share of the workers that must be ready when the time is up, above 0 up to 1.

    A worker that is silent is waited for until it has been watched for SILENT_AFTER, not judged by its clock alone:
    after an outage of the database all are silent, and clocks of two hosts may differ.
    """

    RETURN: ClassVar[timedelta] = SILENT_AFTER
    """How long workers have to come back after the database was away."""

    def __init__(self, preparation: Preparation, min_ready: float) -> None:
        self._preparation = preparation
        self._min_ready = min_ready
        self._watch_time: datetime | None = None
        self._first_seen: dict[str, datetime] = {}

    def lost_sight(self) -> None:
        """The workers could not be seen for a while; they are watched anew."""
        self._watch_time, self._first_seen = None, {}

    def gone(self, workers: Sequence[ServingWorker], now: datetime) -> list[str]:
        """The ids of those that have said nothing all the while they were watched, for long enough."""
        if self._watch_time is None:
            self._watch_time = now
        for worker in workers:
            self._first_seen.setdefault(worker.worker_id, worker.alive_time)
        if now - self._watch_time <= SILENT_AFTER:
            return []
        return [worker.worker_id for worker in workers if self._is_silent(worker, now)]

    def decides(self, workers: Sequence[ServingWorker], now: datetime, *, is_late: bool) -> bool:
        """True: flip. False: wait. Raises WorkersNotReady when waiting is over and too few are ready.

        workers: those that are gone are left out here too.
        """
        gone = set(self.gone(workers, now))
        here = [worker for worker in workers if worker.worker_id not in gone]
        ready = [worker for worker in here if self._is_ready(worker)]
        if len(ready) == len(here):
            return True
        if not is_late and any(self._is_awaited(worker) for worker in here):
            return False
        if is_enough(len(ready), len(here), self._min_ready):
            return True
        raise WorkersNotReady(self._sentence(here, len(ready)))

    def _is_silent(self, worker: ServingWorker, now: datetime) -> bool:
        return worker.is_silent(now) and self._first_seen.get(worker.worker_id) == worker.alive_time

    def _is_ready(self, worker: ServingWorker) -> bool:
        return self._preparation.version in worker.held

    def _is_awaited(self, worker: ServingWorker) -> bool:
        return not self._is_ready(worker) and worker.answered != self._preparation.number

    def _sentence(self, here: Sequence[ServingWorker], num_ready: int) -> str:
        said = "; ".join(f"{each.replica} (pid {each.pid}): {self._said(each)}" for each in here)
        return (
            f"Version {self._preparation.version} is not live, for {num_ready} of {len(here)} workers are ready, too "
            f"few; nothing changed. {said}."
        )

    def _said(self, worker: ServingWorker) -> str:
        if self._is_ready(worker):
            return "ready"
        return "not ready in time" if self._is_awaited(worker) else worker.problem.rstrip(".")
