"""What a worker promises of trials: it holds what is on trial and nothing else, and says what came of it."""

import asyncio
import gc
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.domain.errors import BundleBroken, CatalogDown
from services.domain.ids import ModelVersion
from services.domain.trials import ModelTrial, TrialKind, TrialReport
from services.inference.availability import AvailabilitySlot
from services.inference.live_bundle import BundleAddress
from services.inference.trial_follower import REPORT_EVERY, TrialFollower
from services.inference.trial_slot import TrialSlot
from tests.fakes.clock import FakeClock
from tests.fakes.loads import in_thread
from tests.fakes.model_registry import FakeModelRegistry, model
from tests.fakes.trials import FakeTrials
from tests.unit.inference.test_held_models import Loaded

CANARY, SHADOW = TrialKind.CANARY, TrialKind.SHADOW


class FlakyTrials(FakeTrials):
    """Counts what is written; can be down."""

    is_down = False
    num_reports = 0

    def current(self) -> Any:
        self._fail_when_down()
        return super().current()

    def report(self, report: TrialReport) -> None:
        self._fail_when_down()
        self.num_reports += 1
        super().report(report)

    def _fail_when_down(self) -> None:
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")


@dataclass(eq=False)
class Model(Loaded):
    """One that can be watched."""


class Bench:
    """A follower over fakes. `broken`: versions that cannot be loaded; a load waits for `may_load`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.registry = FakeModelRegistry(self.clock)
        for version in ("v1", "v2"):
            self.registry.register(model(version))
        self.trials = FlakyTrials(self.registry, self.clock)
        self.slot = TrialSlot(AvailabilitySlot(self.clock), self.clock)
        self.broken: set[str] = set()
        self.loads: list[str] = []
        self.may_load = threading.Event()
        self.may_load.set()
        self.follower = TrialFollower("me", self.slot, in_thread(self._load), self.registry, self.trials, self.clock)

    def _load(self, bundle: BundleAddress) -> Any:
        assert self.may_load.wait(timeout=10)
        self.loads.append(bundle.version)
        if bundle.version in self.broken:
            raise BundleBroken("tables.safetensors was cut")
        return Model(bundle.version)

    def change(self, kind: TrialKind, version: str, share: float = 0.5, first: int | None = None) -> ModelTrial:
        made = self.trials.change(
            kind,
            ModelVersion(version),
            share=share,
            actor="ada",
            reason="",
            expected_number=len(self.trials.changes(1_000)),
            first=first,
        )
        assert made is not None
        return made

    async def catch_up(self) -> None:
        """Once, and until what it began is done."""
        await self.follower.catch_up()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    @property
    def held(self) -> list[tuple[TrialKind, str, float]]:
        return [(each.trial.kind, each.model.version, each.trial.share) for each in self.slot.all()]

    def report(self, first: int) -> TrialReport:
        (report,) = self.trials.reports(first)
        return report


@pytest.fixture
async def bench() -> Bench:
    """One that has had its first try, with no trial there."""
    bench = Bench()
    await bench.catch_up()
    return bench


async def test_it_holds_what_is_on_trial(bench: Bench) -> None:
    bench.change(CANARY, "v1", 0.05)
    bench.change(SHADOW, "v2", 1.0)
    await bench.catch_up()
    assert bench.held == [(CANARY, "v1", 0.05), (SHADOW, "v2", 1.0)]
    await bench.catch_up()
    assert bench.loads == ["v1", "v2"]
    assert bench.report(1).is_held


async def test_a_load_keeps_nobody_waiting(bench: Bench) -> None:
    bench.may_load.clear()
    bench.change(CANARY, "v1")
    for _ in range(3):
        await bench.follower.catch_up()
    assert bench.held == []
    bench.may_load.set()
    await bench.catch_up()
    assert bench.held == [(CANARY, "v1", 0.5)]
    assert bench.loads == ["v1"]


async def test_a_worker_that_starts_has_its_models_before_it_listens() -> None:
    """Else the users of a canary would get the live model for a moment after every restart."""
    bench = Bench()
    bench.change(CANARY, "v1")
    await bench.follower.catch_up()
    assert bench.held == [(CANARY, "v1", 0.5)]


async def test_a_broken_bundle_changes_nothing_and_is_said_and_tried_again_later(bench: Bench) -> None:
    bench.broken.add("v1")
    bench.change(CANARY, "v1")
    with capture_logs() as lines:
        for _ in range(3):
            await bench.catch_up()
    assert bench.held == []
    assert [each["event"] for each in lines if each["log_level"] == "error"] == ["trial_not_loaded"]
    assert (bench.report(1).is_held, bench.report(1).problem) == (False, "BundleBroken: tables.safetensors was cut")
    assert bench.loads == ["v1"]
    bench.clock.advance(1)
    await bench.catch_up()
    bench.clock.advance(1)
    await bench.catch_up()
    assert len(bench.loads) == 2, "the second pause is longer"
    bench.broken.clear()
    bench.clock.advance(1)
    await bench.catch_up()
    await bench.catch_up()
    assert bench.held == [(CANARY, "v1", 0.5)]
    assert (bench.report(1).is_held, bench.report(1).problem) == (True, "")


async def test_another_version_is_not_held_up_by_the_one_that_failed(bench: Bench) -> None:
    bench.broken.add("v1")
    bench.change(CANARY, "v1")
    await bench.catch_up()
    bench.change(CANARY, "v1", 0.0, first=1)
    bench.change(CANARY, "v2")
    await bench.catch_up()
    assert bench.held == [(CANARY, "v2", 0.5)]


async def test_what_is_over_is_let_go_of_and_its_memory_comes_back(bench: Bench) -> None:
    bench.change(CANARY, "v1")
    await bench.catch_up()
    (held,) = bench.slot.all()
    seen, held = weakref.ref(held.model), None  # type: ignore[assignment]
    bench.change(CANARY, "v1", 0.0, first=1)
    await bench.catch_up()
    gc.collect()
    assert bench.held == []
    assert seen() is None
    assert not bench.report(1).is_held


async def test_one_that_ends_while_it_is_loaded_does_not_begin(bench: Bench) -> None:
    bench.may_load.clear()
    bench.change(CANARY, "v1")
    await bench.follower.catch_up()
    bench.change(CANARY, "v1", 0.0, first=1)
    await bench.follower.catch_up()
    bench.may_load.set()
    await bench.catch_up()
    assert bench.held == []


async def test_a_new_trial_of_the_same_version_counts_anew_and_another_share_does_not(bench: Bench) -> None:
    bench.change(CANARY, "v1")
    await bench.catch_up()
    (before,) = bench.slot.all()
    bench.change(CANARY, "v1", 0.75, first=1)
    await bench.catch_up()
    (wider,) = bench.slot.all()
    assert (wider.trial.share, wider.tally, wider.model) == (0.75, before.tally, before.model)
    bench.change(CANARY, "v1", 0.0, first=1)
    bench.change(CANARY, "v1", 0.75)
    await bench.catch_up()
    (anew,) = bench.slot.all()
    assert anew.trial.first == 4
    assert anew.tally is not before.tally


async def test_figures_are_written_when_they_change_and_are_due(bench: Bench) -> None:
    bench.change(CANARY, "v1")
    await bench.catch_up()
    await bench.catch_up()
    num_before = bench.trials.num_reports
    (held,) = bench.slot.all()
    held.tally.trial.call(0.01, failed=False)
    await bench.catch_up()
    assert bench.trials.num_reports == num_before
    for _ in range(2):
        bench.clock.advance(REPORT_EVERY.total_seconds())
        await bench.catch_up()
    assert bench.trials.num_reports == num_before + 1
    assert bench.report(1).figures.of_trial.num_calls == 1


async def test_the_last_figures_are_written_when_it_ends_and_when_the_worker_stops(bench: Bench) -> None:
    bench.change(CANARY, "v1")
    bench.change(SHADOW, "v2")
    await bench.catch_up()
    for held in bench.slot.all():
        held.tally.trial.call(0.01, failed=True)
    bench.change(CANARY, "v1", 0.0, first=1)
    await bench.catch_up()
    await bench.follower.leave()
    for first in (1, 2):
        assert (bench.report(first).is_held, bench.report(first).figures.of_trial.num_failed) == (False, 1)


async def test_without_the_database_what_is_held_goes_on(bench: Bench) -> None:
    """Law 6."""
    bench.change(CANARY, "v1")
    await bench.catch_up()
    bench.trials.is_down = True
    with capture_logs() as lines:
        for _ in range(3):
            await bench.catch_up()
        await bench.follower.leave()
    assert bench.held == [(CANARY, "v1", 0.5)]
    assert [each["event"] for each in lines] == ["catalog_down", "trial_figures_lost"]


async def test_what_is_loaded_already_is_found_by_version_and_digest(bench: Bench) -> None:
    bench.change(CANARY, "v1")
    await bench.catch_up()
    registered = bench.registry.get(ModelVersion("v1"))
    assert bench.slot.loaded(registered) is bench.slot.all()[0].model
    assert bench.slot.loaded(bench.registry.get(ModelVersion("v2"))) is None
