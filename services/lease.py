"""Keeps a run's lease alive in a thread beside the work, since a step of it may outlast a lease."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from services.domain.errors import CatalogDown
from services.domain.runs import Run, RunBook

KEEP_ALIVE_S: Final = 5.0  # larger: nearer to the lease's 60 s; smaller: idle writes to the database

log = structlog.get_logger(__name__)


@contextmanager
def kept_alive(runs: RunBook, run: Run) -> Iterator[Callable[[], bool]]:
    """Renews the lease meanwhile; yields whether the run is still ours.

    A database that is away for a while breaks nothing: the lease may have run out when it is back, and lives again
    with the next word unless somebody took the run over.
    """
    over, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not over.wait(KEEP_ALIVE_S):
            try:
                if not runs.keep_alive(run):
                    lost.set()
                    return
            except CatalogDown as error:
                log.warning("lease_not_renewed", run_id=run.run_id, why=str(error))

    thread = threading.Thread(target=renew, name=f"{run.kind}-lease", daemon=True)
    thread.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        over.set()
        thread.join()
