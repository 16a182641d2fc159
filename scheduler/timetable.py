"""When nights start: APScheduler with its jobs in the catalog database, where other processes can see and add them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from scheduler.crontab import night_trigger
from services.settings import ScheduleSettings

NIGHTLY: Final = "nightly"
RUN_NOW: Final = "nightly-run-now"
JOB: Final = "scheduler.job:run_night"
RETRY_S: Final = 10.0  # larger: slow to come back after the database did; smaller: a noisy log while it is away

log = structlog.get_logger(__name__)


class SteadyJobStore(SQLAlchemyJobStore):  # type: ignore[misc] # the library is untyped
    """APScheduler's thread ends on an error from these methods; a database that is away must not end the nights."""

    def get_next_run_time(self) -> datetime | None:
        try:
            following: datetime | None = super().get_next_run_time()
        except SQLAlchemyError as error:
            log.warning("timetable_unreadable", error=str(error))
            return datetime.now(UTC) + timedelta(seconds=RETRY_S)
        return following

    def update_job(self, job: Any) -> None:
        try:
            super().update_job(job)
        except SQLAlchemyError as error:
            log.warning("timetable_not_updated", job=job.id, error=str(error))

    def remove_job(self, job_id: str) -> None:
        """Also when another scheduler on this database removed it first."""
        with suppress(JobLookupError):
            try:
                super().remove_job(job_id)
            except SQLAlchemyError as error:
                log.warning("timetable_not_updated", job=job_id, error=str(error))


def timetable(engine: Engine, schedule: ScheduleSettings) -> BackgroundScheduler:
    """A scheduler on the jobs of this database, not started yet."""
    return BackgroundScheduler(
        jobstores={"default": SteadyJobStore(engine=engine)},
        executors={"default": ThreadPoolExecutor(2)},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": schedule.misfire_grace_s},
        timezone=ZoneInfo(schedule.time_zone),
        jobstore_retry_interval=RETRY_S,
    )


def start(scheduler: BackgroundScheduler, schedule: ScheduleSettings) -> None:
    """Starts it with the nightly job in place; a night missed while no scheduler ran still starts when in grace."""
    scheduler.start(paused=True)
    trigger = night_trigger(schedule.nightly_cron, schedule.time_zone)
    planned = scheduler.get_job(NIGHTLY)
    if planned is None or repr(planned.trigger) != repr(trigger):
        scheduler.add_job(JOB, trigger, args=["schedule"], id=NIGHTLY, replace_existing=True)
    else:
        scheduler.modify_job(NIGHTLY, misfire_grace_time=schedule.misfire_grace_s)
    scheduler.resume()


@contextmanager
def looking(engine: Engine, schedule: ScheduleSettings) -> Iterator[BackgroundScheduler]:
    """The jobs for another process to see and change, without ever starting one."""
    scheduler = timetable(engine, schedule)
    scheduler.start(paused=True)
    try:
        yield scheduler
    finally:
        scheduler.shutdown(wait=False)


def ask_now(scheduler: BackgroundScheduler) -> None:
    """Adds a job that starts at once, beside the nightly one: moving that would race with its own scheduler."""
    scheduler.add_job(JOB, "date", args=["run-now"], id=RUN_NOW, replace_existing=True)


def withdraw(scheduler: BackgroundScheduler) -> None:
    """Takes back what `ask_now` asked for, if nobody took it."""
    with suppress(JobLookupError):
        scheduler.remove_job(RUN_NOW)
