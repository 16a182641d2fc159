"""Asking the running scheduler, from another process, for a night at once, and following it to its end."""

import time
from collections.abc import Callable
from typing import Final

from scheduler import timetable
from scheduler.nightly import KIND
from scheduler.timetable import Timetable
from services.domain.errors import NotRunning
from services.domain.runs import Run, RunBook, RunState

TAKEN_WITHIN_S: Final = 15.0  # larger: slow to say that no scheduler runs; smaller: a busy one seems absent
PATIENCE_S: Final = 15.0  # larger: a crashed run is told later; smaller: an outage's end races with the lease's renewal
POLL_S: Final = 0.25  # larger: the end is seen later; smaller: idle queries


def ask(table: Timetable, runs: RunBook, taken_within_s: float = TAKEN_WITHIN_S) -> Run:
    """The run that a scheduler began for us, or the one that is going on already; asking twice starts no second one.

    Blocks until the run began. Raises NotRunning when no scheduler takes it, which also withdraws the request.
    """
    if table.get_job(timetable.NIGHTLY) is None:
        raise NotRunning("No scheduler has run on this database yet; start one with `nightjar up`.")
    latest = _latest(runs)
    if latest is not None and latest.state is RunState.RUNNING:
        return latest
    seen = 0 if latest is None else latest.run_id
    timetable.ask_now(table)
    begun = _until(lambda: _newer(runs, seen), taken_within_s)
    if begun is None:
        timetable.withdraw(table)
        raise NotRunning(f"No scheduler took the run within {taken_within_s:g} s; start one with `nightjar up`.")
    return begun


def follow(runs: RunBook, run: Run) -> Run:
    """Blocks until the run ended; a run whose process died ends when its lease does, but not at once.

    Right after a database outage every lease looks run out, and a living scheduler renews its own within seconds.
    """
    patient_until = time.monotonic() + PATIENCE_S
    while run.state is RunState.RUNNING:
        time.sleep(POLL_S)
        if time.monotonic() > patient_until:
            runs.fail_abandoned()
        run = next((each for each in runs.newest(100) if each.run_id == run.run_id), run)
    return run


def _until(look: Callable[[], Run | None], timeout_s: float) -> Run | None:
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return found


def _newer(runs: RunBook, run_id: int) -> Run | None:
    latest = _latest(runs)
    return latest if latest is not None and latest.run_id > run_id else None


def _latest(runs: RunBook) -> Run | None:
    return next((run for run in runs.newest(10) if run.kind == KIND), None)
