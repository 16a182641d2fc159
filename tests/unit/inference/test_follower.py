import asyncio
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.domain.errors import BundleBroken, CatalogDown
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.inference import catalog_follower
from services.inference.follower import Follower
from services.inference.live_bundle import BundleAddress, LiveBundleFile
from services.inference.model_slot import ModelSlot
from services.inference.recorder import Recorder
from services.inference.serving_model import ServingModel
from services.inference.standing import Standing
from tests.fakes import model_registry
from tests.fakes.clock import FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.loads import in_thread
from tests.fakes.model_registry import FakeModelRegistry

WINDOW = timedelta(0)  # nothing is held for a rollback, unless the test says so


class FlakyRegistry(FakeModelRegistry):
    """`is_silent`: gives no answer until `answers` is set, as when the network swallows packets."""

    is_down = False
    is_silent = False

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.answers = threading.Event()

    def live(self) -> Assignment | None:
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")
        if self.is_silent:
            assert self.answers.wait(timeout=10)
        return super().live()


class HandNotices:
    """Notices given by hand: `wait` returns when `give` was called, never by itself."""

    def __init__(self) -> None:
        self._given = asyncio.Event()

    def give(self) -> None:
        self._given.set()

    async def wait(self, timeout_s: float) -> bool:
        await self._given.wait()
        self._given.clear()
        return True


class Bench:
    """A follower over fakes. `broken`: versions that cannot be loaded; `tried`: all that were, in order."""

    def __init__(self, folder: Path, *models: ServingModel) -> None:
        by_version = {model.version: model for model in models}
        self.broken: set[str] = set()
        self.tried: list[str] = []
        self.told: asyncio.Queue[str | None] = asyncio.Queue()
        self.clock = FakeClock()
        self.registry = FlakyRegistry(self.clock)
        for model in models:
            self.registry.register(model_registry.model(model.version))
        self.notices = HandNotices()
        self.recorder = Recorder()

        self.remembered = LiveBundleFile(folder / "run" / "live-model.json")

        def load(assigned: BundleAddress) -> ServingModel:
            self.tried.append(assigned.version)
            if assigned.version in self.broken:
                raise BundleBroken("half of it is missing")
            return by_version[assigned.version]

        self.fleet = FakeFleet(self.clock)
        self.slot = ModelSlot(in_thread(load), self.clock, WINDOW)
        standing = Standing(self.fleet, "me", self.clock, 0.5, self._tell)
        self.follower = Follower(
            self.slot, self.registry, self.notices, self.clock, self.recorder, self.remembered, standing
        )

    def assign(self, version: str) -> None:
        live = self.registry.live()
        self.registry.assign(
            ModelVersion(version),
            actor="test",
            reason="",
            override=False,
            expected_generation=0 if live is None else live.generation,
        )

    def swaps(self, outcome: str) -> float:
        return self.recorder.value("nightjar_model_swaps_total", outcome=outcome)

    async def _tell(self, comes: bool) -> None:
        self.told.put_nowait(self.slot.version if comes else None)


@pytest.fixture
def bench(tmp_path: Path, model: ServingModel, other_model: ServingModel) -> Bench:
    return Bench(tmp_path, model, other_model)


@pytest.fixture
def newcomer(bench: Bench, tmp_path: Path, model: ServingModel, other_model: ServingModel) -> Bench:
    """A worker that starts on the host where `bench` had v1 and serves v2; its database is away."""
    newcomer = Bench(tmp_path, model, other_model)
    newcomer.registry.is_down = True
    return newcomer


async def test_without_an_assignment_nothing_is_loaded(bench: Bench) -> None:
    await bench.follower.catch_up()
    assert (bench.slot.version, bench.tried) == (None, [])


async def test_each_new_assignment_is_swapped_in_once(bench: Bench) -> None:
    bench.assign("v1")
    await bench.follower.catch_up()
    await bench.follower.catch_up()
    bench.assign("v2")
    await bench.follower.catch_up()
    assert (bench.slot.version, bench.slot.generation) == ("v2", 2)
    assert bench.tried == ["v1", "v2"]
    assert bench.told.qsize() == 2
    assert bench.swaps("swapped") == 2
    assert bench.recorder.value("nightjar_model_generation") == 2


async def test_a_rollback_is_followed_like_any_change(bench: Bench) -> None:
    for version in ("v1", "v2", "v1"):
        bench.assign(version)
        await bench.follower.catch_up()
    assert (bench.slot.version, bench.slot.generation) == ("v1", 3)


async def test_a_failed_load_leaves_the_old_model_and_is_told(bench: Bench) -> None:
    bench.assign("v1")
    await bench.follower.catch_up()
    bench.broken.add("v2")
    bench.assign("v2")
    with capture_logs() as lines:
        await bench.follower.catch_up()
    assert bench.slot.version == "v1"
    assert (bench.swaps("failed"), bench.told.qsize()) == (1, 1)
    assert [(line["event"], line["version"], line["still_serving"]) for line in lines] == [
        ("model_load_failed", "v2", "v1")
    ]


async def test_a_failed_load_is_tried_again_each_time_later(bench: Bench) -> None:
    bench.broken.add("v1")
    bench.assign("v1")
    pauses_s = (1, 2, 4, 8, 16, 32, 60, 60)
    await bench.follower.catch_up()
    for num_tried, pause_s in enumerate(pauses_s, start=1):
        bench.clock.advance(pause_s - 0.1)
        await bench.follower.catch_up()
        assert len(bench.tried) == num_tried
        bench.clock.advance(0.1)
        await bench.follower.catch_up()
        assert len(bench.tried) == num_tried + 1


async def test_a_mended_bundle_serves_after_the_pause(bench: Bench) -> None:
    bench.broken.add("v1")
    bench.assign("v1")
    await bench.follower.catch_up()
    bench.broken.clear()
    bench.clock.advance(1)
    await bench.follower.catch_up()
    assert bench.slot.version == "v1"


async def test_a_newer_assignment_does_not_wait_for_the_pause_of_a_broken_one(bench: Bench) -> None:
    bench.broken.add("v1")
    bench.assign("v1")
    await bench.follower.catch_up()
    bench.assign("v2")
    await bench.follower.catch_up()
    assert bench.slot.version == "v2"


async def test_with_the_database_down_the_model_serves_on_and_the_log_says_so_once(bench: Bench) -> None:
    """Law 6."""
    bench.assign("v1")
    await bench.follower.catch_up()
    bench.assign("v2")
    bench.registry.is_down = True
    with capture_logs() as lines:
        for _ in range(3):
            await bench.follower.catch_up()
        assert bench.slot.version == "v1"
        bench.registry.is_down = False
        await bench.follower.catch_up()
    assert bench.slot.version == "v2"
    assert [line["event"] for line in lines] == ["catalog_down", "catalog_back", "model_loaded", "model_swapped"]


async def serve_v1_then_v2(bench: Bench) -> None:
    for version in ("v1", "v2"):
        bench.assign(version)
        await bench.follower.catch_up()


async def test_a_worker_that_starts_without_the_database_serves_what_served_last(bench: Bench, newcomer: Bench) -> None:
    """Law 6: otherwise every call that the kernel gives it fails."""
    await serve_v1_then_v2(bench)
    with capture_logs() as lines:
        await newcomer.follower.catch_up()
    assert (newcomer.slot.version, newcomer.slot.generation) == ("v2", 2)
    assert newcomer.told.qsize() == 1
    assert newcomer.recorder.value("nightjar_model_generation") == 2
    assert [line["event"] for line in lines] == ["catalog_down", "last_known_model_loaded"]


async def test_when_the_database_is_back_it_decides_again(bench: Bench, newcomer: Bench) -> None:
    await serve_v1_then_v2(bench)
    await newcomer.follower.catch_up()
    newcomer.registry.is_down = False
    for version in ("v1", "v2"):
        newcomer.assign(version)
    await newcomer.follower.catch_up()
    assert newcomer.tried == ["v2"]  # the same generation: nothing to load
    newcomer.assign("v1")
    await newcomer.follower.catch_up()
    assert (newcomer.slot.version, newcomer.slot.generation) == ("v1", 3)


async def test_a_newcomer_that_cannot_load_the_assigned_bundle_serves_what_served_last(
    bench: Bench, newcomer: Bench
) -> None:
    """A failed load leaves the champion serving, also in a worker that has yet to load it."""
    bench.assign("v1")
    await bench.follower.catch_up()
    newcomer.registry.is_down = False
    for version in ("v1", "v2"):
        newcomer.assign(version)
    newcomer.broken.add("v2")
    await newcomer.follower.catch_up()
    assert (newcomer.slot.version, newcomer.tried) == ("v1", ["v2", "v1"])


async def test_what_served_last_is_tried_once_when_it_is_broken(bench: Bench, newcomer: Bench) -> None:
    await serve_v1_then_v2(bench)
    newcomer.broken.add("v2")
    for _ in range(3):
        await newcomer.follower.catch_up()
    assert (newcomer.slot.version, newcomer.tried) == (None, ["v2"])


async def test_a_database_that_assigns_nothing_is_believed(bench: Bench, newcomer: Bench) -> None:
    await serve_v1_then_v2(bench)
    newcomer.registry.is_down = False
    await newcomer.follower.catch_up()
    assert newcomer.slot.version is None


async def test_a_place_that_cannot_be_written_costs_no_swap(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    bench.assign("v1")
    with capture_logs() as lines:
        await bench.follower.catch_up()
    assert bench.slot.version == "v1"
    assert [line["event"] for line in lines] == ["model_loaded", "model_swapped", "live_bundle_not_remembered"]


async def test_a_silent_database_counts_as_down_and_polling_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a network that swallows packets keeps an old model serving until the kernel gives up."""
    monkeypatch.setattr(catalog_follower, "CATALOG_TIMEOUT_S", 0.05)
    bench.assign("v1")
    bench.registry.is_silent = True
    try:
        with capture_logs() as lines:
            await bench.follower.catch_up()
            bench.registry.is_silent = False
            await bench.follower.catch_up()
    finally:
        bench.registry.answers.set()
    assert [line["event"] for line in lines] == ["catalog_down", "catalog_back", "model_loaded", "model_swapped"]


async def following(bench: Bench, steps: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the follower's task beside some steps."""
    task = asyncio.create_task(bench.follower.run(poll_interval_s=0.001))
    try:
        async with asyncio.timeout(10):
            await steps()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_the_task_looks_at_once_and_again_at_each_notice(bench: Bench) -> None:
    bench.assign("v1")

    async def steps() -> None:
        assert await bench.told.get() == "v1"
        bench.assign("v2")
        bench.notices.give()
        assert await bench.told.get() == "v2"

    await following(bench, steps)


async def test_the_first_try_is_over_whatever_came_of_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker waits for it before it listens."""

    def live() -> Assignment | None:
        raise RuntimeError("the registry")

    monkeypatch.setattr(bench.registry, "live", live)
    await following(bench, bench.follower.tried)


async def test_nothing_that_happens_ends_the_task(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the worker would serve an old model for good."""
    bench.assign("v1")
    faults = [RuntimeError("the registry"), OSError("its driver")]

    def live() -> Assignment | None:
        if faults:
            raise faults.pop()
        return FakeModelRegistry.live(bench.registry)

    monkeypatch.setattr(bench.registry, "live", live)

    async def steps() -> None:
        assert await bench.told.get() == "v1"

    await following(bench, steps)
    assert faults == []
