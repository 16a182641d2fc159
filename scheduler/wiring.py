"""Puts the scheduler process together, and opens its timetable and books for other processes."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine

from scheduler import job, timetable
from scheduler.chain import Chain, Step
from scheduler.children import Children, LocalChildren
from scheduler.launchers.choosing import chosen_launcher
from scheduler.night import Ending, Night
from scheduler.nights_desk import NightsDesk
from scheduler.steps.challengers import Evaluate, Plan, Train
from scheduler.steps.data import Check, Compact, Pin
from scheduler.steps.gate import Gate
from scheduler.steps.report import Report
from scheduler.steps.rollout import Load, Publish, Swap
from scheduler.steps.watch import Watch, WatchBounds
from scheduler.timetable import Timetable
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.night_book import SqlNightBook
from services.adapters.sql.run_book import SqlRunBook
from services.adapters.sql.training_runs import SqlTrainingRuns
from services.bundle_wiring import open_bundles
from services.domain.clock import SystemClock
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.domain.nights import ACTOR
from services.domain.ports import Clock, EventLog
from services.domain.runs import Run, RunBook
from services.housekeeping import wiring as housekeeping
from services.housekeeping.upkeep import Housekeeping
from services.registry.promotion import promote, rollback
from services.registry.rollout import Rollout
from services.registry.wiring import gate_rules, open_notice, open_registry, open_rollout
from services.settings import Settings


@dataclass(frozen=True)
class SchedulerProcess:
    timetable: Timetable
    night: Night
    desk: NightsDesk


@dataclass(frozen=True)
class Onlooker:
    timetable: Timetable
    runs: RunBook
    desk: NightsDesk


@contextmanager
def scheduler_process(
    settings: Settings, stopping: threading.Event, children: Children | None = None
) -> Iterator[SchedulerProcess]:
    """Everything a scheduler needs, its nights planned; at the end waits for a night that runs. Raises CatalogDown."""
    upgrade(settings.database_url)
    engine, clock = connect(settings.database_url), SystemClock()
    house = housekeeping.build(settings, stopping.is_set)
    night = build_night(settings, engine, clock, house, children or LocalChildren(), stopping.is_set, stopping.wait)
    job.install(night.run, house.run)
    with timetable.opened(engine, settings.schedule) as table:
        timetable.plan_nights(table, settings.schedule)
        yield SchedulerProcess(table, night, NightsDesk(table, night.runs, night.chain.book, stopping.wait))


@contextmanager
def onlooker(settings: Settings) -> Iterator[Onlooker]:
    """For a process that is no scheduler: sees and changes the timetable, starts nothing. Raises CatalogDown."""
    upgrade(settings.database_url)
    engine, clock = connect(settings.database_url), SystemClock()
    with timetable.opened(engine, settings.schedule) as table:
        runs = SqlRunBook(engine, clock)
        yield Onlooker(table, runs, NightsDesk(table, runs, SqlNightBook(engine, clock)))


def build_night(
    settings: Settings,
    engine: Engine,
    clock: Clock,
    house: Housekeeping,
    children: Children,
    stopping: Callable[[], bool],
    pause: Callable[[float], bool],
) -> Night:
    """The night that the settings describe. Raises CatalogDown."""
    registry, book, folder = open_registry(settings), SqlNightBook(engine, clock), nights_folder(settings)

    def report(ending: Ending) -> Step:
        return Report(ending.state, ending.detail, book.steps, registry, folder, settings.night.step_timeout_s)

    return Night(
        runs=SqlRunBook(engine, clock),
        chain=Chain(
            book=book,
            clock=clock,
            stopping=stopping,
            pause=pause,
            max_attempts=settings.night.max_attempts,
            retry_pause_s=settings.night.retry_pause_s,
        ),
        steps=_steps(
            settings,
            house,
            children,
            chosen_launcher(settings, children, registry, SqlTrainingRuns(engine), clock, pause),
            open_rollout(settings, pause),
            clock,
            pause,
        ),
        report=report,
        clock=clock,
        resume_within=timedelta(hours=settings.night.resume_within_h),
    )


def nights_folder(settings: Settings) -> Path:
    """Where a night keeps its files, a folder each."""
    return settings.home_folder / "nights"


def _steps(
    settings: Settings,
    house: Housekeeping,
    children: Children,
    launcher: Children,
    rollout: Rollout,
    clock: Clock,
    pause: Callable[[float], bool],
) -> Sequence[Step]:
    registry, notice, timeout_s = open_registry(settings), open_notice(settings), settings.night.step_timeout_s

    def keep_house(keep_going: Callable[[], bool]) -> Run | None:
        return replace(house, stopping=lambda: not keep_going()).run("night")

    def take_back(reason: str) -> Assignment:
        return rollback(registry, notice, ACTOR, reason, rollout=rollout)

    def go_live(version: ModelVersion) -> Assignment:
        return promote(registry, notice, version, ACTOR, rollout=rollout)

    training = [
        Train(each.name, launcher, registry, settings.schedule.train_timeout_s)
        for each in settings.schedule.challengers
    ]
    return (
        Compact(keep_house, timeout_s),
        Pin(_LogHead(settings.log_folder), timeout_s),
        Check(children, clock, timeout_s),
        *training,
        Evaluate(children, registry, nights_folder(settings), timeout_s),
        Plan(children, timeout_s),
        Gate(registry, gate_rules(settings), timeout_s),
        Publish(registry, open_bundles(settings), timeout_s),
        Load(registry, rollout, timeout_s),
        Swap(registry, rollout.fleet, go_live, timeout_s),
        Watch(rollout.fleet, registry, take_back, _bounds(settings), clock, pause, settings.night.watch_s + timeout_s),
    )


def _bounds(settings: Settings) -> WatchBounds:
    night = settings.night
    return WatchBounds(
        night.watch_s,
        night.watch_min_calls,
        night.watch_max_failed_rise,
        night.watch_max_degraded_rise,
        night.watch_max_p99_ratio,
        night.watch_max_p99_ms,
    )


@dataclass(frozen=True)
class _LogHead:
    """Fulfils LogHead; the log's library is loaded when a night asks, not when the scheduler starts."""

    folder: Path

    def version(self) -> int:
        return self._log().version()

    def num_events(self) -> int:
        return self._log().num_events()

    def _log(self) -> EventLog:
        from services.adapters.delta_log import DeltaEventLog  # a second of imports

        return DeltaEventLog(self.folder)
