"""What a worker promises its fleet: it says that it lives, gets ready what is asked for, and says why when it can't."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.domain.errors import BundleBroken, CatalogDown
from services.domain.fleet import GRACE, HEARTBEAT, Preparation, ServingWorker
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.inference import fleet_member
from services.inference.fleet_member import FleetMember, Identity
from services.inference.live_bundle import BundleAddress
from services.inference.model_slot import ModelSlot
from services.inference.recorder import Recorder
from tests.fakes import model_registry
from tests.fakes.clock import START, FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.loads import in_thread
from tests.fakes.model_registry import FakeModelRegistry
from tests.unit.inference.test_held_models import Loaded

V1, V2 = ModelVersion("v1"), ModelVersion("v2")
TIMEOUT = timedelta(seconds=60)


class FlakyFleet(FakeFleet):
    """Counts what is written; can be down."""

    is_down = False
    num_reports = 0

    def preparation(self) -> Preparation | None:
        self._fail_when_down()
        return super().preparation()

    def report(self, worker: ServingWorker) -> None:
        self._fail_when_down()
        self.num_reports += 1
        super().report(worker)

    def leave(self, worker_id: str) -> None:
        self._fail_when_down()
        super().leave(worker_id)

    def _fail_when_down(self) -> None:
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")


class NoNotices:
    async def wait(self, timeout_s: float) -> bool:
        await asyncio.sleep(timeout_s)
        return False


class Bench:
    """A member over fakes. `broken`: versions that cannot be loaded; `tried`: all that were, in order."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fleet = FlakyFleet(self.clock)
        self.registry = FakeModelRegistry(self.clock)
        for version in (V1, V2):
            self.registry.register(model_registry.model(version))
        self.broken: set[str] = set()
        self.tried: list[str] = []
        self.recorder = Recorder()
        self.slot = ModelSlot(in_thread(self._load), self.clock, timedelta(0))
        self.member = FleetMember(
            Identity("me", "host/1", 11), self.slot, self.registry, self.fleet, NoNotices(), self.clock, self.recorder
        )

    def _load(self, bundle: BundleAddress) -> Any:
        self.tried.append(bundle.version)
        if bundle.version in self.broken:
            raise BundleBroken("vocabulary.json is cut short")
        return Loaded(bundle.version)

    def open(self, version: ModelVersion) -> Preparation:
        opened = self.fleet.open(version, 0, self.clock.now() + TIMEOUT)
        assert opened is not None
        return opened

    async def catch_up(self) -> None:
        """Once, and until what it began is done."""
        await self.member.catch_up()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)

    @property
    def row(self) -> ServingWorker:
        (row,) = self.fleet.workers()
        return row


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_it_joins_by_reporting(bench: Bench) -> None:
    await bench.catch_up()
    assert bench.row == ServingWorker("me", "host/1", 11, START)


async def test_it_writes_only_what_is_new_or_due(bench: Bench) -> None:
    for _ in range(3):
        await bench.catch_up()
    assert bench.fleet.num_reports == 1
    bench.clock.advance(HEARTBEAT.total_seconds())
    await bench.catch_up()
    assert (bench.fleet.num_reports, bench.row.alive_time) == (2, START + HEARTBEAT)


async def test_a_clock_that_was_set_back_does_not_silence_it(bench: Bench) -> None:
    await bench.catch_up()
    bench.clock.advance(-3_600)
    await bench.catch_up()
    assert bench.row.alive_time == START - timedelta(hours=1)


async def test_it_says_at_once_what_it_serves(bench: Bench) -> None:
    await bench.catch_up()
    await bench.slot.hold(model_registry.model(V1), START + TIMEOUT)
    await bench.slot.flip(Assignment(3, V1, "ada", "", START))
    await bench.catch_up()
    assert (bench.row.generation, bench.row.held) == (3, (V1,))


async def test_what_is_asked_for_is_loaded_and_said_to_be_ready(bench: Bench) -> None:
    opened = bench.open(V1)
    await bench.catch_up()
    assert (bench.row.held, bench.row.answered, bench.row.problem) == ((V1,), opened.number, "")
    assert bench.slot.version is None, "the flip is not the member's"
    assert bench.recorder.value("nightjar_model_preparations_total", outcome="ready") == 1


async def test_it_is_held_until_some_time_after_the_deadline(bench: Bench) -> None:
    bench.open(V1)
    await bench.catch_up()
    bench.clock.advance((TIMEOUT + GRACE).total_seconds() - 1)
    await bench.catch_up()
    assert bench.row.held == (V1,)
    bench.clock.advance(1)
    await bench.catch_up()
    assert not bench.row.held


async def test_why_it_cannot_be_ready_is_said_once(bench: Bench) -> None:
    """The bundle is not hashed over and over for one preparation."""
    opened = bench.open(V1)
    bench.broken.add(V1)
    for _ in range(3):
        await bench.catch_up()
    assert bench.row == replace(
        bench.row, held=(), answered=opened.number, problem="BundleBroken: vocabulary.json is cut short"
    )
    assert bench.tried == [V1]
    assert bench.recorder.value("nightjar_model_preparations_total", outcome="failed") == 1


async def test_another_preparation_tries_again(bench: Bench) -> None:
    bench.broken.add(V1)
    first = bench.open(V1)
    await bench.catch_up()
    bench.fleet.close(first.number)
    bench.broken.clear()
    second = bench.open(V1)
    await bench.catch_up()
    assert (bench.row.held, bench.row.answered, bench.row.problem) == ((V1,), second.number, "")


async def test_a_version_nobody_registered_is_a_problem(bench: Bench) -> None:
    bench.open(ModelVersion("nowhere"))
    await bench.catch_up()
    assert bench.row.problem.startswith("UnknownVersion: ")


async def test_a_closed_preparation_asks_for_nothing(bench: Bench) -> None:
    bench.fleet.close(bench.open(V1).number)
    await bench.catch_up()
    assert (bench.tried, bench.row.answered) == ([], 0)


async def test_while_the_database_is_down_it_goes_on_and_catches_up(bench: Bench) -> None:
    """Law 6: it only delays."""
    await bench.catch_up()
    bench.open(V1)
    bench.fleet.is_down = True
    with capture_logs() as lines:
        for _ in range(2):
            await bench.catch_up()
        bench.fleet.is_down = False
        await bench.catch_up()
    assert bench.row.held == (V1,)
    assert [line["event"] for line in lines] == ["catalog_down", "catalog_back", "model_prepared"]


async def test_an_answer_that_cannot_be_given_is_given_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database goes while the model loads."""
    opened = bench.open(V1)
    load = bench._load

    def load_and_lose_the_database(bundle: BundleAddress) -> Any:
        bench.fleet.is_down = True
        return load(bundle)

    monkeypatch.setattr(bench.slot, "_load", in_thread(load_and_lose_the_database))
    await bench.catch_up()
    bench.fleet.is_down = False
    assert bench.row.answered == 0
    await bench.catch_up()
    assert (bench.row.answered, bench.row.held, bench.tried) == (opened.number, (V1,), [V1])


async def test_it_beats_while_it_loads(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a long load would look like a death."""
    bench.open(V1)
    loading = asyncio.Event()

    async def hold(*_: object) -> None:
        await loading.wait()

    monkeypatch.setattr(bench.slot, "hold", hold)
    await bench.member.catch_up()
    bench.clock.advance(HEARTBEAT.total_seconds())
    await bench.member.catch_up()
    assert bench.row.alive_time == START + HEARTBEAT
    loading.set()
    await bench.catch_up()


async def test_who_stops_leaves(bench: Bench) -> None:
    await bench.catch_up()
    await bench.member.leave()
    assert bench.fleet.workers() == []


async def test_leaving_without_a_database_does_not_hold_up_the_stop(bench: Bench) -> None:
    await bench.catch_up()
    bench.fleet.is_down = True
    await bench.member.leave()


async def test_the_memory_of_what_was_let_go_of_is_given_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and not while there is nothing to give."""
    given: list[bool] = []
    monkeypatch.setattr(fleet_member, "give_back", lambda: given.append(True))
    bench.open(V1)
    for _ in range(2):
        await bench.catch_up()
    assert given == []
    bench.clock.advance((TIMEOUT + GRACE).total_seconds())
    for _ in range(2):
        await bench.catch_up()
    assert given == [True]
