import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.domain.errors import BundleBroken, CatalogDown
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.inference.follower import Follower
from services.inference.model_slot import ModelSlot
from services.inference.recorder import Recorder
from services.inference.serving_model import ServingModel
from tests.fakes import model_registry
from tests.fakes.clock import FakeClock
from tests.fakes.model_registry import FakeModelRegistry


class FlakyRegistry(FakeModelRegistry):
    is_down = False

    def live(self) -> Assignment | None:
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")
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

    def __init__(self, *models: ServingModel) -> None:
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

        def load(assigned: Assignment) -> ServingModel:
            self.tried.append(assigned.version)
            if assigned.version in self.broken:
                raise BundleBroken("half of it is missing")
            return by_version[assigned.version]

        self.slot = ModelSlot(load)
        self.follower = Follower(self.slot, self.registry, self.notices, self.clock, self.recorder, self._swapped)

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

    async def _swapped(self) -> None:
        self.told.put_nowait(self.slot.version)


@pytest.fixture
def bench(model: ServingModel, other_model: ServingModel) -> Bench:
    return Bench(model, other_model)


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
    assert [line["event"] for line in lines] == ["catalog_down", "catalog_back", "model_swapped"]


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
