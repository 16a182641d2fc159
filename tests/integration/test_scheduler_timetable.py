"""The timetable in the database: nights survive restarts and changed settings, and other processes can ask for one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from scheduler import job, run_now
from scheduler.timetable import (
    HOUSEKEEPING,
    NIGHTLY,
    RUN_NOW,
    Timetable,
    ask_now,
    opened,
    pause_nights,
    plan_nights,
    resume_nights,
)
from services.adapters.sql.engine import connect, transaction
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.run_book import SqlRunBook
from services.domain.clock import SystemClock
from services.domain.errors import NotRunning
from services.domain.runs import RunState
from services.settings import ScheduleSettings

SCHEDULE = ScheduleSettings(nightly_cron="0 2 * * *", time_zone="Europe/Berlin")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    upgrade(url)
    return connect(url)


@pytest.fixture
def nights() -> list[str]:
    """The triggers of the nights that were started in this process."""
    started: list[str] = []
    job.install(started.append)
    return started


@contextmanager
def _scheduler(engine: Engine, schedule: ScheduleSettings = SCHEDULE) -> Iterator[Timetable]:
    """A scheduler without its loop; at the end it has finished what it started."""
    with opened(engine, schedule) as table:
        plan_nights(table, schedule)
        yield table


def _next_time(table: Timetable) -> datetime:
    moment: datetime = table.get_job(NIGHTLY).next_run_time
    return moment


def _miss_night(engine: Engine, ago: timedelta, schedule: ScheduleSettings = SCHEDULE) -> datetime:
    """As if no scheduler had run since before the night."""
    missed = (datetime.now(UTC) - ago).replace(microsecond=0)
    with _scheduler(engine, schedule) as table:
        table.modify_job(NIGHTLY, next_run_time=missed)
    return missed


def test_the_night_is_planned_in_its_time_zone(engine: Engine, nights: list[str]) -> None:
    with _scheduler(engine):
        pass
    with opened(engine, SCHEDULE) as table:
        next_time = _next_time(table)
    assert (next_time.hour, next_time.minute, str(next_time.tzinfo)) == (2, 0, "Europe/Berlin")
    assert nights == []


def test_a_night_missed_within_the_grace_runs_once_at_the_next_start(engine: Engine, nights: list[str]) -> None:
    _miss_night(engine, timedelta(minutes=30))
    with _scheduler(engine) as table:
        table.tick()
        table.tick()
        assert _next_time(table) > datetime.now(UTC)
    assert nights == ["schedule"]


def test_several_missed_nights_start_one(engine: Engine, nights: list[str]) -> None:
    patient = SCHEDULE.model_copy(update={"misfire_grace_s": 7 * 86_400})
    _miss_night(engine, timedelta(days=3))
    with _scheduler(engine, patient) as table:
        table.tick()
        table.tick()
    assert nights == ["schedule"]


def test_a_night_missed_for_longer_waits_for_the_next(engine: Engine, nights: list[str]) -> None:
    # Half a day from now, whenever that is: a night that is due by the clock since the missed one would start rightly.
    by_day = ScheduleSettings(nightly_cron=f"0 {(datetime.now(UTC).hour + 12) % 24} * * *", time_zone="UTC")
    _miss_night(engine, timedelta(hours=3), by_day)
    with _scheduler(engine, by_day) as table:
        table.tick()
        assert _next_time(table) > datetime.now(UTC)
    assert nights == []


def test_a_changed_setting_moves_the_night(engine: Engine, nights: list[str]) -> None:
    with _scheduler(engine):
        pass
    with _scheduler(engine, ScheduleSettings(nightly_cron="30 4 * * *", time_zone="Asia/Tokyo")) as table:
        next_time = _next_time(table)
    assert (next_time.hour, next_time.minute, str(next_time.tzinfo)) == (4, 30, "Asia/Tokyo")


def test_housekeeping_has_a_time_of_its_own(engine: Engine) -> None:
    """It is planned beside the night, moved by its own setting, and starts by itself."""
    started: list[str] = []
    job.install(lambda trigger: started.append(f"night {trigger}"), lambda trigger: started.append(f"house {trigger}"))
    with _scheduler(engine, SCHEDULE.model_copy(update={"housekeeping_cron": "15 5 * * *"})) as table:
        planned = table.get_job(HOUSEKEEPING).next_run_time
        assert (planned.hour, planned.minute) == (5, 15)
        table.modify_job(HOUSEKEEPING, next_run_time=datetime.now(UTC) - timedelta(minutes=1))
        table.tick()
    assert started == ["house schedule"]


def test_looking_at_a_missed_night_neither_starts_nor_moves_it(engine: Engine, nights: list[str]) -> None:
    missed = _miss_night(engine, timedelta(minutes=1))
    for _ in range(2):
        with opened(engine, SCHEDULE) as table:
            assert _next_time(table) == missed
    assert nights == []


def test_a_night_asked_for_by_another_process_starts_beside_the_planned_one(engine: Engine, nights: list[str]) -> None:
    with _scheduler(engine) as scheduler:
        before = _next_time(scheduler)
        with opened(engine, SCHEDULE) as elsewhere:
            ask_now(elsewhere)
            ask_now(elsewhere)
        scheduler.tick()
        scheduler.tick()
        assert scheduler.get_job(RUN_NOW) is None
        assert _next_time(scheduler) == before
    assert nights == ["run-now"]


def test_two_schedulers_on_one_database_survive_each_other(engine: Engine, nights: list[str]) -> None:
    """Both may take the same request (the run book then lets one of them work), and neither breaks over it."""
    with _scheduler(engine) as one, _scheduler(engine) as other:
        for _ in range(5):
            ask_now(one)
            both = [threading.Thread(target=scheduler.tick) for scheduler in (one, other)]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            assert one.get_job(RUN_NOW) is None
    assert 5 <= len(nights) <= 10


def test_a_database_that_is_away_costs_a_tick_not_the_scheduler(engine: Engine, nights: list[str]) -> None:
    with _scheduler(engine) as table:
        ask_now(table)
        with transaction(engine) as connection:
            connection.execute(text("ALTER TABLE apscheduler_jobs RENAME TO away"))
        table.tick()
        with transaction(engine) as connection:
            connection.execute(text("ALTER TABLE away RENAME TO apscheduler_jobs"))
        table.tick()
    assert nights == ["run-now"]


def test_run_now_without_any_scheduler_says_so(engine: Engine) -> None:
    with opened(engine, SCHEDULE) as table, pytest.raises(NotRunning, match="nightjar up"):
        run_now.ask(table, SqlRunBook(engine, SystemClock()))


def test_run_now_that_nobody_takes_is_withdrawn(engine: Engine, nights: list[str]) -> None:
    with _scheduler(engine) as table:
        with pytest.raises(NotRunning, match="No scheduler took the run"):
            run_now.ask(table, SqlRunBook(engine, SystemClock()), taken_within_s=0.3)
        assert table.get_job(RUN_NOW) is None
        table.tick()
    assert nights == []


def test_run_now_joins_the_run_that_is_going_on_and_follows_it_to_its_end(engine: Engine, nights: list[str]) -> None:
    runs = SqlRunBook(engine, SystemClock())
    running = runs.begin("night", "schedule")
    assert running is not None
    with _scheduler(engine) as table:
        assert run_now.ask(table, runs) == running
        assert table.get_job(RUN_NOW) is None
    ending = threading.Timer(0.5, runs.finish, args=(running, RunState.SUCCEEDED))
    ending.start()
    assert run_now.follow(runs, running).state is RunState.SUCCEEDED
    ending.join()


def test_paused_nights_stay_so_through_restarts_and_changed_settings(
    engine: Engine, nights: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one write: a scheduler that dies between planning anew and pausing would leave them running."""
    _miss_night(engine, timedelta(minutes=1))
    with opened(engine, SCHEDULE) as elsewhere:
        pause_nights(elsewhere)
    monkeypatch.setattr(Timetable, "pause_job", None)
    for schedule in (SCHEDULE, SCHEDULE.model_copy(update={"nightly_cron": "30 3 * * *"})):
        with _scheduler(engine, schedule) as table:
            table.tick()
            assert table.get_job(NIGHTLY).next_run_time is None
    assert nights == []
    with opened(engine, SCHEDULE) as elsewhere:
        resume_nights(elsewhere)
        assert _next_time(elsewhere) > datetime.now(UTC)


def test_a_night_can_be_asked_for_while_they_are_paused(engine: Engine, nights: list[str]) -> None:
    with _scheduler(engine) as table:
        pause_nights(table)
        ask_now(table)
        table.tick()
    assert nights == ["run-now"]


def test_pausing_where_no_scheduler_ever_ran_says_so(engine: Engine) -> None:
    with opened(engine, SCHEDULE) as table, pytest.raises(NotRunning, match="nightjar up"):
        pause_nights(table)


def test_following_a_run_whose_scheduler_is_gone_says_what_to_do(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_now, "PATIENCE_S", 0.5)
    runs = SqlRunBook(engine, SystemClock(), lease_s=0.0)
    left = runs.begin("night", "schedule")
    assert left is not None
    with pytest.raises(NotRunning, match="goes on when one starts"):
        run_now.follow(runs, left)
