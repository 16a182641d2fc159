"""When nights start: APScheduler with its jobs in the catalog database, where other processes can see and add them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final
from zoneinfo import ZoneInfo

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.base import BaseScheduler
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from services.crontab import night_trigger
from services.domain.errors import NotRunning
from services.settings import ScheduleSettings

NIGHTLY: Final = "nightly"
RUN_NOW: Final = "nightly-run-now"
JOB: Final = "scheduler.job:run_night"
HOUSEKEEPING: Final = "housekeeping"
HOUSEKEEPING_JOB: Final = "scheduler.job:run_housekeeping"

log = structlog.get_logger(__name__)


class Timetable(BaseScheduler):  # type: ignore[misc] # the library is untyped
    """APScheduler without a thread of its own; its holder calls `tick`.

    The library's background thread ends for good on a database error in the wrong place, and looks for due jobs once
    more after a shutdown, when no executor takes them: the night is then lost.
    """

    def __init__(self, engine: Engine, schedule: ScheduleSettings) -> None:
        super().__init__(
            jobstores={"default": SQLAlchemyJobStore(engine=engine)},
            executors={"default": ThreadPoolExecutor(2)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": schedule.misfire_grace_s},
            timezone=ZoneInfo(schedule.time_zone),
        )

    def tick(self) -> None:
        """Starts, in threads, the jobs that are due now, also those that other processes put there."""
        try:
            self._process_jobs()
        except (SQLAlchemyError, JobLookupError) as error:
            # A database that is away, or another scheduler that took the same job: the next tick looks again.
            log.warning("timetable_not_updated", error=str(error))

    def wakeup(self) -> None:
        """Nothing to wake: the next tick is never far."""

    def shutdown(self, wait: bool = True) -> None:  # the library's signature; abstract there
        super().shutdown(wait)


def plan_nights(timetable: Timetable, schedule: ScheduleSettings) -> None:
    """Puts the nightly jobs in place; one missed while no scheduler ran is kept, and starts if it is in grace."""
    _plan(timetable, schedule, NIGHTLY, JOB, schedule.nightly_cron)
    _plan(timetable, schedule, HOUSEKEEPING, HOUSEKEEPING_JOB, schedule.housekeeping_cron)


def _plan(timetable: Timetable, schedule: ScheduleSettings, job_id: str, function: str, cron: str) -> None:
    trigger = night_trigger(cron, schedule.time_zone)
    planned = timetable.get_job(job_id)
    if planned is None or repr(planned.trigger) != repr(trigger):
        # In one write, so that nothing runs again that was paused, whenever this process may end.
        paused = {"next_run_time": None} if planned is not None and planned.next_run_time is None else {}
        timetable.add_job(function, trigger, args=["schedule"], id=job_id, replace_existing=True, **paused)
    else:
        timetable.modify_job(job_id, misfire_grace_time=schedule.misfire_grace_s)


@contextmanager
def opened(engine: Engine, schedule: ScheduleSettings) -> Iterator[Timetable]:
    """The timetable in force; no job starts unless its holder ticks. At the end waits for those that did start."""
    timetable = Timetable(engine, schedule)
    timetable.start()
    try:
        yield timetable
    finally:
        timetable.shutdown(wait=True)


def ask_now(timetable: Timetable) -> None:
    """Adds a job that starts at once, beside the nightly one: moving that would race with its own scheduler."""
    timetable.add_job(JOB, "date", args=["run-now"], id=RUN_NOW, replace_existing=True)


def pause_nights(timetable: Timetable) -> None:
    """No night starts by itself until `resume_nights`, whatever scheduler runs; one that is going on goes on.

    Raises NotRunning when no scheduler has planned nights yet.
    """
    with _planned():
        timetable.pause_job(NIGHTLY)


def resume_nights(timetable: Timetable) -> None:
    """Nights start by themselves again, the next one at its next time. Raises NotRunning as above."""
    with _planned():
        timetable.resume_job(NIGHTLY)


@contextmanager
def _planned() -> Iterator[None]:
    try:
        yield
    except JobLookupError as error:
        raise NotRunning("No scheduler has run on this database yet; start one with `nightjar up`.") from error


def withdraw(timetable: Timetable) -> None:
    """Takes back what `ask_now` asked for, if nobody took it."""
    with suppress(JobLookupError):
        timetable.remove_job(RUN_NOW)
