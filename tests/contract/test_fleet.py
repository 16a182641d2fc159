"""What every Fleet promises: it says of each worker what that said last, and has one preparation open at most."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.adapters.sql.engine import connect
from services.adapters.sql.fleet import SqlFleet
from services.adapters.sql.migrate import upgrade
from services.domain.errors import CatalogDown
from services.domain.fleet import FORGOTTEN_AFTER, GRACE, MAX_PROBLEM, Preparation, ServingWorker
from services.domain.ids import ModelVersion
from services.domain.ports import Fleet
from services.domain.vitals import VitalsCounter
from tests.fakes.clock import START, FakeClock
from tests.fakes.fleet import FakeFleet

V1, V2 = ModelVersion("v1"), ModelVersion("v2")
DEADLINE = START + timedelta(seconds=60)
WORKER = ServingWorker("a", "host/1", 11, START)
BUSY = replace(WORKER, generation=3, held=(V1, V2), answered=2, problem="BundleBroken: vocabulary.json")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def _sql(url: str, clock: FakeClock) -> SqlFleet:
    upgrade(url)
    return SqlFleet(connect(url), clock)


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def fleet(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Fleet:
    makers: dict[str, Callable[[], Fleet]] = {
        "fake": lambda: FakeFleet(clock),
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}", clock),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url"), clock),
    }
    return makers[request.param]()


def test_nobody_serves_and_nothing_is_prepared_at_first(fleet: Fleet) -> None:
    assert fleet.workers() == []
    assert fleet.preparation() is None


def test_a_worker_is_known_by_what_it_said_last(fleet: Fleet) -> None:
    fleet.report(WORKER)
    fleet.report(BUSY)
    assert fleet.workers() == [BUSY]


def test_how_a_workers_answers_went_is_told_too(fleet: Fleet) -> None:
    counter = VitalsCounter()
    counter.call(0.002, failed=True)
    counter.degraded()
    told = replace(WORKER, vitals=counter.now)
    fleet.report(told)
    assert fleet.workers() == [told]


def test_workers_come_by_replica(fleet: Fleet) -> None:
    others = (replace(WORKER, worker_id="b", replica="host/0"), replace(WORKER, worker_id="0", replica="host/2"))
    for each in (others[1], WORKER, others[0]):
        fleet.report(each)
    assert fleet.workers() == [others[0], WORKER, others[1]]


def test_a_worker_that_leaves_is_forgotten_and_may_come_back(fleet: Fleet) -> None:
    fleet.report(WORKER)
    fleet.leave("a")
    fleet.leave("nobody")
    assert fleet.workers() == []
    fleet.report(WORKER)
    assert fleet.workers() == [WORKER]


def test_those_long_gone_are_forgotten(fleet: Fleet, clock: FakeClock) -> None:
    """The table is bounded, however often workers die."""
    fleet.report(WORKER)
    clock.advance(FORGOTTEN_AFTER.total_seconds())
    fleet.report(replace(WORKER, worker_id="b", alive_time=clock.now()))
    assert [each.worker_id for each in fleet.workers()] == ["a", "b"]
    clock.advance(1)
    fleet.report(replace(WORKER, worker_id="b", alive_time=clock.now()))
    assert [each.worker_id for each in fleet.workers()] == ["b"]


def test_a_worker_whose_clock_is_behind_does_not_forget_itself(fleet: Fleet) -> None:
    slow = replace(WORKER, alive_time=START - 2 * FORGOTTEN_AFTER)
    fleet.report(slow)
    assert fleet.workers() == [slow]


def test_a_long_problem_is_cut(fleet: Fleet) -> None:
    fleet.report(replace(WORKER, problem="x" * (MAX_PROBLEM + 1)))
    assert [len(each.problem) for each in fleet.workers()] == [MAX_PROBLEM]


def test_what_was_opened_is_open_until_closed(fleet: Fleet) -> None:
    opened = fleet.open(V1, 4, DEADLINE)
    assert opened == Preparation(1, V1, 4, DEADLINE)
    assert fleet.preparation() == opened
    fleet.close(1)
    assert fleet.preparation() is None


def test_one_preparation_at_a_time(fleet: Fleet) -> None:
    opened = fleet.open(V1, 4, DEADLINE)
    assert fleet.open(V2, 4, DEADLINE) is None
    assert fleet.preparation() == opened


def test_numbers_never_repeat(fleet: Fleet) -> None:
    fleet.open(V1, 4, DEADLINE)
    fleet.close(1)
    assert fleet.open(V1, 4, DEADLINE) == Preparation(2, V1, 4, DEADLINE)


def test_an_urgent_one_takes_the_place_of_another(fleet: Fleet) -> None:
    fleet.open(V1, 4, DEADLINE)
    urgent = fleet.open(V2, 4, DEADLINE, preempt=True)
    fleet.close(1)  # whose place was taken closes nothing
    assert urgent == Preparation(2, V2, 4, DEADLINE)
    assert fleet.preparation() == urgent


def test_one_whose_opener_died_is_over_in_the_end(fleet: Fleet, clock: FakeClock) -> None:
    """Else a crash would block every swap for good."""
    opened = fleet.open(V1, 4, DEADLINE)
    clock.advance((DEADLINE + GRACE - START).total_seconds())
    assert fleet.preparation() == opened
    assert fleet.open(V2, 4, DEADLINE) is None
    clock.advance(1)
    assert fleet.preparation() is None
    assert fleet.open(V2, 4, clock.now() + GRACE) == fleet.preparation()


def test_of_many_at_once_one_opens(fleet: Fleet) -> None:
    start, outcomes = threading.Barrier(8), list[Preparation | None]()

    def race() -> None:
        start.wait()
        outcomes.append(fleet.open(V1, 4, DEADLINE))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert [each for each in outcomes if each is not None] == [fleet.preparation()]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_problem_that_a_database_refuses_is_written_all_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, database: str, clock: FakeClock
) -> None:
    """PostgreSQL has no text with a zero byte, and an error may quote anything."""
    url = f"sqlite:///{tmp_path / 'catalog.db'}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    fleet = _sql(url, clock)
    fleet.report(replace(WORKER, problem="a\0b"))
    assert fleet.workers()[0].problem == "a\ufffdb"


def test_a_database_without_the_tables_is_down(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(CatalogDown, match="cannot be used"):
        SqlFleet(connect(f"sqlite:///{tmp_path / 'catalog.db'}"), clock).report(WORKER)
