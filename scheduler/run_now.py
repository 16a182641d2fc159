"""Asking the running scheduler, from another process, for a night at once, and following it to its end."""

import time
from collections.abc import Callable
from typing import Final

from scheduler import timetable
from scheduler.timetable import Timetable
from services.domain.errors import NotRunning
from services.domain.nights import NIGHT
from services.domain.runs import Run, RunBook, RunState

TAKEN_WITHIN_S: Final = 15.0  # larger: slow to say that no scheduler runs; smaller: a busy one seems absent
PATIENCE_S: Final = 30.0  # larger: a dead scheduler is told later; smaller: one that restarts seems gone
POLL_S: Final = 0.25  # larger: the end is seen later; smaller: idle queries


def ask(
    table: Timetable,
    runs: RunBook,
    taken_within_s: float = TAKEN_WITHIN_S,
    pause: Callable[[float], object] = time.sleep,
) -> Run:
    """The run that a scheduler began for us, or the one that is going on already; asking twice starts no second one.

    Blocks until the run began; `pause` waits so many seconds, and returns True when we shall wait no longer.
    Raises NotRunning when no scheduler takes it, which also withdraws the request.
    """
    if table.get_job(timetable.NIGHTLY) is None:
        raise NotRunning("No scheduler has run on this database yet; start one with `nightjar up`.")
    latest = _latest(runs)
    if latest is not None and latest.state is RunState.RUNNING:
        return latest
    seen = 0 if latest is None else latest.run_id
    timetable.ask_now(table)
    begun = _until(lambda: _newer(runs, seen), taken_within_s, pause)
    if begun is None:
        timetable.withdraw(table)
        raise NotRunning(f"No scheduler took the run within {taken_within_s:g} s; start one with `nightjar up`.")
    return begun


def follow(runs: RunBook, run: Run) -> Run:
    """Blocks until the run ended. Raises NotRunning when nobody goes on with it.

    A scheduler that dies is followed by the next one's; right after a database outage every lease looks run out, and a
    living scheduler renews its own within seconds.
    """
    silent_since = None
    while run.state is RunState.RUNNING:
        time.sleep(POLL_S)
        if (abandoned := runs.abandoned(run.kind)) is None or abandoned.run_id != run.run_id:
            silent_since = None
        elif silent_since is None:
            silent_since = time.monotonic()
        elif time.monotonic() - silent_since > PATIENCE_S:
            raise NotRunning(
                f"The scheduler of run {run.run_id} is gone; the run goes on when one starts: `nightjar up`."
            )
        run = next((each for each in runs.newest(100) if each.run_id == run.run_id), run)
    return run


def _until(look: Callable[[], Run | None], timeout_s: float, pause: Callable[[float], object]) -> Run | None:
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None and time.monotonic() < deadline:
        if pause(POLL_S):
            break
    return found


def _newer(runs: RunBook, run_id: int) -> Run | None:
    latest = _latest(runs)
    return latest if latest is not None and latest.run_id > run_id else None


def _latest(runs: RunBook) -> Run | None:
    return next(iter(runs.newest(1, NIGHT)), None)
