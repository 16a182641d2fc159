"""Puts the scheduler process together, and opens its timetable and run book for other processes."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from scheduler import job, timetable
from scheduler.nightly import Night
from scheduler.timetable import Timetable
from scheduler.training_process import TrainingProcess
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.run_book import SqlRunBook
from services.domain.clock import SystemClock
from services.domain.runs import RunBook
from services.housekeeping import wiring as housekeeping
from services.registry.wiring import gate_rules, open_notice, open_registry, open_rollout
from services.settings import Settings

TRAINING: Final = (sys.executable, "-m", "services.training", "--trigger", "nightly")


@dataclass(frozen=True)
class SchedulerProcess:
    timetable: Timetable
    night: Night


@dataclass(frozen=True)
class Onlooker:
    timetable: Timetable
    runs: RunBook


@contextmanager
def scheduler_process(
    settings: Settings, stopping: threading.Event, training: Sequence[str] = TRAINING
) -> Iterator[SchedulerProcess]:
    """Everything a scheduler needs, its nights planned; at the end waits for a night that runs. Raises CatalogDown."""
    registry = open_registry(settings)
    engine = connect(settings.database_url)
    clock = SystemClock()
    night = Night(
        runs=SqlRunBook(engine, clock),
        registry=registry,
        notice=open_notice(settings),
        launcher=TrainingProcess(training, settings.schedule.train_timeout_s),
        rules=gate_rules(settings),
        clock=clock,
        stopping=stopping.is_set,
        pause=stopping.wait,
        rollout=open_rollout(settings, stopping.wait),
    )
    job.install(night.run, housekeeping.build(settings, stopping.is_set).run)
    with timetable.opened(engine, settings.schedule) as table:
        timetable.plan_nights(table, settings.schedule)
        yield SchedulerProcess(table, night)


@contextmanager
def onlooker(settings: Settings) -> Iterator[Onlooker]:
    """For a process that is no scheduler: sees and changes the timetable, starts nothing. Raises CatalogDown."""
    upgrade(settings.database_url)
    engine = connect(settings.database_url)
    with timetable.opened(engine, settings.schedule) as table:
        yield Onlooker(table, SqlRunBook(engine, SystemClock()))
