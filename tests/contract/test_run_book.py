"""What every RunBook promises: one run of a kind at a time, and a crash holds nobody up for long."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from services.adapters.sql import run_book
from services.adapters.sql.engine import connect, transaction
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.run_book import SqlRunBook
from services.adapters.sql.tables import runs as table
from services.domain.ids import ModelVersion
from services.domain.runs import NOBODY, Run, RunBook, RunState
from tests.fakes.clock import START, FakeClock
from tests.fakes.run_book import FakeRunBook

LEASE_S = 60.0


def _sql(url: str, clock: FakeClock) -> SqlRunBook:
    upgrade(url)
    return SqlRunBook(connect(url), clock, LEASE_S)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def runs(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> RunBook:
    makers: dict[str, Callable[[], RunBook]] = {
        "fake": lambda: FakeRunBook(clock, LEASE_S),
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}", clock),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url"), clock),
    }
    return makers[request.param]()


def _begin(runs: RunBook, kind: str = "night") -> Run:
    run = runs.begin(kind, "schedule")
    assert run is not None
    return run


def test_a_run_that_began_is_running(runs: RunBook) -> None:
    run = _begin(runs)
    assert run == Run(run.run_id, "night", "schedule", START, RunState.RUNNING, holder=run.holder, alive_time=START)
    assert run.holder != NOBODY
    assert runs.newest(10) == [run]


def test_a_run_that_ended_says_how_and_when(runs: RunBook, clock: FakeClock) -> None:
    run = _begin(runs)
    clock.advance(90)
    assert runs.keep_alive(run)
    assert runs.finish(run, RunState.REFUSED, version=ModelVersion("a"), detail="no gain")
    (ended,) = runs.newest(10)
    assert (ended.state, ended.version, ended.detail) == (RunState.REFUSED, "a", "no gain")
    assert ended.end_time == clock.now()


def test_no_second_run_of_a_kind_begins_while_one_is_running(runs: RunBook) -> None:
    run = _begin(runs)
    assert runs.begin("night", "run-now") is None
    assert _begin(runs, "compaction").kind == "compaction"
    runs.finish(run, RunState.FAILED)
    assert _begin(runs).run_id > run.run_id


def test_a_run_ends_once(runs: RunBook) -> None:
    run = _begin(runs)
    assert runs.finish(run, RunState.SUCCEEDED)
    assert not runs.finish(run, RunState.FAILED)
    assert not runs.keep_alive(run)
    assert runs.newest(1)[0].state is RunState.SUCCEEDED


def test_a_run_that_is_kept_alive_outlives_its_first_lease(runs: RunBook, clock: FakeClock) -> None:
    run = _begin(runs)
    for _ in range(5):
        clock.advance(LEASE_S * 0.9)
        assert runs.keep_alive(run)
        assert runs.fail_abandoned("night") == []
    assert runs.begin("night", "schedule") is None


def test_an_abandoned_run_is_marked_as_failed_and_cannot_come_back(runs: RunBook, clock: FakeClock) -> None:
    """After a crash, and for a process that hung: whoever lost the lease can no longer record a success."""
    run = _begin(runs)
    clock.advance(LEASE_S + 1)
    assert [each.run_id for each in runs.fail_abandoned("night")] == [run.run_id]
    assert runs.fail_abandoned("night") == []
    assert not runs.keep_alive(run)
    assert not runs.finish(run, RunState.SUCCEEDED)
    (failed,) = runs.newest(10)
    assert failed.state is RunState.FAILED
    assert failed.end_time == clock.now()
    assert failed.detail


def test_a_new_run_takes_the_place_of_an_abandoned_one(runs: RunBook, clock: FakeClock) -> None:
    _begin(runs)
    clock.advance(LEASE_S + 1)
    _begin(runs)
    assert [each.state for each in runs.newest(10)] == [RunState.RUNNING, RunState.FAILED]


def test_a_run_that_another_took_over_is_no_longer_ours(runs: RunBook, clock: FakeClock) -> None:
    """Two schedulers, one of which slept: what the sleeper says afterwards changes nothing."""
    run = _begin(runs)
    assert runs.abandoned("night") is None
    clock.advance(LEASE_S + 1)
    abandoned = runs.abandoned("night")
    assert abandoned == run
    taken = runs.take_over(abandoned)
    assert taken is not None
    assert (taken.run_id, taken.start_time, taken.alive_time) == (run.run_id, START, clock.now())
    assert taken.holder != run.holder
    assert runs.abandoned("night") is None
    assert not runs.keep_alive(run)
    assert not runs.release(run)
    assert not runs.finish(run, RunState.SUCCEEDED)
    assert runs.finish(taken, RunState.REFUSED)
    assert runs.newest(1)[0].state is RunState.REFUSED


def test_a_run_is_taken_over_once(runs: RunBook, clock: FakeClock) -> None:
    _begin(runs)
    clock.advance(LEASE_S + 1)
    seen = runs.abandoned("night")
    assert seen is not None
    assert runs.take_over(seen) is not None
    assert runs.take_over(seen) is None


def test_a_run_whose_holder_spoke_again_is_not_taken_over(runs: RunBook, clock: FakeClock) -> None:
    run = _begin(runs)
    clock.advance(LEASE_S + 1)
    seen = runs.abandoned("night")
    assert seen is not None
    assert runs.keep_alive(run)
    assert runs.take_over(seen) is None
    assert runs.finish(run, RunState.SUCCEEDED)


def test_a_run_that_was_given_back_is_abandoned_at_once(runs: RunBook) -> None:
    run = _begin(runs)
    assert runs.release(run)
    assert not runs.keep_alive(run)
    given_back = runs.abandoned("night")
    assert given_back is not None
    assert given_back.holder == NOBODY
    assert runs.take_over(given_back) is not None


@pytest.mark.parametrize("jump_s", [3_600.0, -3_600.0])
def test_a_clock_that_jumps_leaves_a_dead_holder_no_lease_and_a_living_one_its_run(
    runs: RunBook, clock: FakeClock, jump_s: float
) -> None:
    run = _begin(runs)
    clock.advance(jump_s)
    assert runs.abandoned("night") == run
    assert runs.keep_alive(run)
    assert runs.abandoned("night") is None


def test_the_newest_run_that_ended_badly_can_be_reopened_for_whoever_comes(runs: RunBook) -> None:
    run = _begin(runs)
    assert not runs.reopen(run.run_id)
    runs.finish(run, RunState.FAILED, detail="no luck")
    assert runs.reopen(run.run_id)
    reopened = runs.abandoned("night")
    assert reopened is not None
    assert (reopened.run_id, reopened.holder, reopened.end_time, reopened.detail) == (run.run_id, NOBODY, None, "")
    assert not runs.keep_alive(run)


def test_what_succeeded_or_is_not_the_newest_or_never_was_is_not_reopened(runs: RunBook) -> None:
    first = _begin(runs)
    runs.finish(first, RunState.FAILED)
    second = _begin(runs)
    assert not runs.reopen(first.run_id)
    runs.finish(second, RunState.SUCCEEDED)
    assert not runs.reopen(second.run_id)
    assert not runs.reopen(99)
    assert runs.newest(1)[0].state is RunState.SUCCEEDED


def test_a_run_of_another_kind_is_no_reason_to_leave_one_closed(runs: RunBook) -> None:
    night = _begin(runs)
    runs.finish(night, RunState.TIMED_OUT)
    _begin(runs, "housekeeping")
    assert runs.reopen(night.run_id)


def test_newest_first_of_one_kind(runs: RunBook) -> None:
    night = _begin(runs)
    _begin(runs, "housekeeping")
    assert [run.run_id for run in runs.newest(10, "night")] == [night.run_id]


def test_newest_first_and_no_more_than_asked_for(runs: RunBook) -> None:
    for _ in range(3):
        runs.finish(_begin(runs), RunState.SUCCEEDED)
    ids = [run.run_id for run in runs.newest(10)]
    assert ids == sorted(ids, reverse=True)
    assert [run.run_id for run in runs.newest(2)] == ids[:2]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_of_many_schedulers_at_once_exactly_one_begins(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, database: str
) -> None:
    url = f"sqlite:///{tmp_path / 'race.db'}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    books = [_sql(url, clock) for _ in range(6)]
    start, begun = threading.Barrier(len(books)), list[Run | None]()

    def race(book: SqlRunBook) -> None:
        start.wait()
        begun.append(book.begin("night", "schedule"))

    threads = [threading.Thread(target=race, args=(book,)) for book in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == len(books)
    assert len([run for run in begun if run is not None]) == 1


def test_old_runs_are_forgotten(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is bounded."""
    monkeypatch.setattr(run_book, "RUNS_KEPT", 3)
    engine = connect(f"sqlite:///{tmp_path / 'catalog.db'}")
    runs = _sql(f"sqlite:///{tmp_path / 'catalog.db'}", clock)
    for _ in range(5):
        runs.finish(_begin(runs), RunState.SUCCEEDED)
    with transaction(engine) as connection:
        assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 3
