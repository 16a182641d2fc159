"""A search as child processes, listened to line by line and never left behind; no screen here."""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import IO, Any, Final

from deploy.embedded.services import environment
from services.children.speaking import Cause, ChildEnd, run_speaking
from services.cli.child_run import failure, flags, opened_log
from services.domain.errors import (
    CatalogDown,
    InvalidSettings,
    MissingDependency,
    NightjarError,
    NotEnoughData,
    UnknownVersion,
)
from services.settings import Settings

TUNING: Final = (sys.executable, "-m", "services.training.tuning")
OVERTIME_S: Final = 60.0  # for the epoch, or the fit of a kind without epochs, that runs when the budget is spent
_ERRORS: Final = (NotEnoughData, CatalogDown, MissingDependency, InvalidSettings, UnknownVersion)


@dataclass(frozen=True, slots=True)
class SearchAsked:
    """What the command line says; the empty, 0 and None leave a thing to the worker."""

    num_trials: int
    budget_s: float = 0.0
    num_jobs: int = 1
    study: str = ""
    data_version: int | None = None


@dataclass(slots=True)
class Standing:
    """How far a search is: what its workers said last, all of them together."""

    data_version: int | None = None
    num_done: int = 0
    best: Mapping[str, Any] | None = None
    present: Mapping[str, Any] | None = None
    """Each with number, settings, state and ndcg_at_10."""
    troubles: list[str] = field(default_factory=list)
    """Why trials failed and workers died, each once."""

    def hear(self, said: Mapping[str, Any]) -> None:
        """What is no news is passed over; workers may say things out of turn, so the better counts."""
        self.data_version = said.get("data_version", self.data_version)
        self.num_done = max(self.num_done, said.get("num_done", 0))
        self.best = max((self.best, said.get("best")), key=_ndcg)
        if self.present is None or self.present["ndcg_at_10"] is None:
            self.present = said.get("present") or self.present
        if said.get("state") == "failed" and said["detail"] not in self.troubles:
            self.troubles.append(said["detail"])

    @property
    def gain(self) -> float | None:
        """Of the best over the present settings, on validation; None while either is unknown."""
        if self.best is None or self.present is None or self.present["ndcg_at_10"] is None:
            return None
        return float(self.best["ndcg_at_10"] - self.present["ndcg_at_10"])


def _ndcg(trial: Mapping[str, Any] | None) -> float:
    return -1.0 if trial is None else trial["ndcg_at_10"]


def run_search(
    settings: Settings,
    asked: SearchAsked,
    on_line: Callable[[Mapping[str, Any], Standing], object],
    keep_going: Callable[[], bool] = lambda: True,
    command: Sequence[str] = TUNING,
) -> Standing:
    """Searches with exactly these settings and blocks until the workers ended; their log is `logs/tuning.log`.

    on_line gets what the workers say and how far all are, from one thread at a time. Once keep_going says no, they are
    ended, and what they found is returned. The first worker fixes the study; only then do the others begin. Raises what
    all workers failed of: InvalidRequest, NotEnoughData, CatalogDown, MissingDependency, or TrainingFailed.
    """
    with opened_log(settings, "tuning").open("ab") as log:
        return _Crew(settings, asked, on_line, keep_going, command, log).work()


class _Crew:
    """The workers of one search, a thread each, since a child's leash is tied to the thread that starts it."""

    def __init__(
        self,
        settings: Settings,
        asked: SearchAsked,
        on_line: Callable[[Mapping[str, Any], Standing], object],
        keep_going: Callable[[], bool],
        command: Sequence[str],
        log: IO[bytes],
    ) -> None:
        self._environment = environment(settings)
        self._asked, self._on_line, self._keep_going = asked, on_line, keep_going
        self._command, self._log = command, log
        self._deadline = time.monotonic() + (asked.budget_s or float("inf"))
        self._standing, self._lock, self._opened = Standing(), threading.Lock(), threading.Event()

    def work(self) -> Standing:
        with ThreadPoolExecutor(self._asked.num_jobs) as pool:
            first = pool.submit(self._follow, 0, self._asked.data_version)
            first.add_done_callback(lambda _: self._opened.set())
            self._opened.wait()
            others: list[Future[ChildEnd]] = []
            if self._standing.data_version is not None:
                numbers = range(1, self._asked.num_jobs)
                others = [pool.submit(self._follow, number, self._standing.data_version) for number in numbers]
            wait([first, *others])
        troubles = [error for each in (first, *others) if (error := self._trouble(each.result())) is not None]
        if len(troubles) == 1 + len(others):
            raise troubles[0]
        self._standing.troubles.extend(map(str, troubles))
        return self._standing

    def _follow(self, number: int, data_version: int | None) -> ChildEnd:
        left_s = self._deadline - time.monotonic()
        named = {
            "--trials": self._asked.num_trials,
            "--budget-s": None if left_s == float("inf") else max(left_s, 0.001),
            "--study": self._asked.study or None,
            "--data-version": data_version,
            "--cores": ",".join(map(str, share_of_cores(number, self._asked.num_jobs))) or None,
        }
        return run_speaking(
            [*self._command, *flags(named)],
            self._hear,
            log=self._log,
            environment=self._environment,
            timeout_s=left_s + OVERTIME_S,
            keep_going=self._keep_going,
        )

    def _hear(self, said: Mapping[str, Any]) -> None:
        with self._lock:
            self._standing.hear(said)
            self._on_line(said, self._standing)
        if said.get("event") == "study":
            self._opened.set()

    def _trouble(self, end: ChildEnd) -> NightjarError | None:
        return None if end.cause is not Cause.ENDED else failure(end, "A search process", self._log.name, _ERRORS)


def share_of_cores(number: int, num_jobs: int) -> list[int]:
    """The cores for a worker, so that they do not wait for one another; empty where the system cannot say, or for one.

    Where there are fewer cores than workers, some share one.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    if affinity is None or num_jobs == 1:
        return []
    cores = sorted(affinity(0))
    return cores[number::num_jobs] or [cores[number % len(cores)]]
