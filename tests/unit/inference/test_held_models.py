"""What the model slot holds beside the live model: enough to flip without a load, and never more than two."""

import asyncio
import gc
import threading
import weakref
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from services.domain.errors import BundleBroken
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.inference.live_bundle import BundleAddress, LiveBundle
from services.inference.model_slot import ModelSlot
from tests.fakes import model_registry
from tests.fakes.clock import START, FakeClock
from tests.fakes.loads import in_thread

WINDOW_S = 600.0


@dataclass
class Loaded:
    """All that the slot looks at of a serving model."""

    version: ModelVersion


class Bench:
    """A slot that loads by noting it. `broken`: versions that cannot be loaded; a load waits for `may_load`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.loads: list[str] = []
        self.flips: list[str] = []
        self.broken: set[str] = set()
        self.may_load = threading.Event()
        self.may_load.set()
        before_flip: Any = lambda model: self.flips.append(model.version)  # noqa: E731
        self.slot = ModelSlot(in_thread(self._load), self.clock, timedelta(seconds=WINDOW_S), before_flip)

    def _load(self, bundle: BundleAddress) -> Any:
        assert self.may_load.wait(timeout=10)
        self.loads.append(bundle.version)
        if bundle.version in self.broken:
            raise BundleBroken("half of it is missing")
        return Loaded(bundle.version)

    async def hold(self, version: str, seconds: float = 60.0) -> None:
        await self.slot.hold(model_registry.model(version), self.clock.now() + timedelta(seconds=seconds))

    async def flip(self, generation: int, version: str) -> LiveBundle | None:
        return await self.slot.flip(Assignment(generation, ModelVersion(version), "ada", "", START))


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_held_serves_nobody_until_the_flip(bench: Bench) -> None:
    await bench.hold("v1")
    assert (bench.slot.version, bench.slot.generation, bench.slot.held) == (None, 0, ("v1",))


async def test_a_flip_needs_no_load(bench: Bench) -> None:
    await bench.hold("v1")
    bundle = await bench.flip(4, "v1")
    assert bundle == LiveBundle(4, START, ModelVersion("v1"), "/bundles/v1", "0" * 64)
    assert (bench.slot.version, bench.slot.generation, bench.loads) == ("v1", 4, ["v1"])


async def test_a_version_that_is_not_held_cannot_be_flipped_to(bench: Bench) -> None:
    await bench.hold("v1")
    await bench.flip(1, "v1")
    assert await bench.flip(2, "v2") is None
    assert (bench.slot.version, bench.slot.generation) == ("v1", 1)


async def test_what_is_unavailable_is_worked_out_before_each_flip_to_another_model(bench: Bench) -> None:
    for generation, version in enumerate(("v1", "v2", "v2", "v1"), start=1):
        await bench.hold(version)
        await bench.flip(generation, version)
    assert bench.flips == ["v1", "v2", "v1"]


async def test_a_rollback_within_the_window_needs_no_load(bench: Bench) -> None:
    for generation, version in enumerate(("v1", "v2"), start=1):
        await bench.hold(version)
        await bench.flip(generation, version)
    bench.clock.advance(WINDOW_S - 1)
    bench.slot.let_go()
    assert await bench.flip(3, "v1") is not None
    assert bench.loads == ["v1", "v2"]
    assert bench.slot.held == ("v1", "v2")


async def test_after_the_window_the_old_model_is_let_go(bench: Bench) -> None:
    for generation, version in enumerate(("v1", "v2"), start=1):
        await bench.hold(version)
        await bench.flip(generation, version)
    bench.clock.advance(WINDOW_S)
    bench.slot.let_go()
    assert bench.slot.held == ("v2",)


async def test_what_was_prepared_for_nothing_is_let_go(bench: Bench) -> None:
    """A swap that was given up costs no memory for good."""
    await bench.hold("v1", seconds=60)
    bench.clock.advance(59)
    bench.slot.let_go()
    assert bench.slot.held == ("v1",)
    bench.clock.advance(1)
    bench.slot.let_go()
    assert not bench.slot.held


async def test_holding_again_holds_longer_and_never_shorter(bench: Bench) -> None:
    await bench.hold("v1", seconds=60)
    await bench.hold("v1", seconds=90)
    await bench.hold("v1", seconds=30)
    bench.clock.advance(89)
    bench.slot.let_go()
    assert (bench.slot.held, bench.loads) == (("v1",), ["v1"])


async def test_the_version_before_is_held_for_as_long_as_a_swap_back_to_it_needs(bench: Bench) -> None:
    for generation, version in enumerate(("v1", "v2"), start=1):
        await bench.hold(version)
        await bench.flip(generation, version)
    await bench.hold("v1", seconds=WINDOW_S + 60)
    bench.clock.advance(WINDOW_S + 59)
    bench.slot.let_go()
    assert (bench.slot.held, bench.loads) == (("v1", "v2"), ["v1", "v2"])


async def test_never_more_than_three_are_held(bench: Bench) -> None:
    """Law 9: the live one, the one before, and the next."""
    for number in range(1, 10):
        await bench.hold(f"v{number}")
        await bench.hold(f"w{number}")  # another preparation takes the place of the one before
        assert len(bench.slot.held) <= 3
        await bench.flip(number, f"w{number}")
        assert len(bench.slot.held) <= 2


async def test_a_model_is_freed_when_it_is_let_go_of(bench: Bench) -> None:
    for generation, version in enumerate(("v1", "v2"), start=1):
        await bench.hold(version)
        await bench.flip(generation, version)
    in_use = weakref.ref((await bench.slot.hold(model_registry.model("v1"), START)).model)
    bench.clock.advance(WINDOW_S)
    bench.slot.let_go()
    gc.collect()
    assert in_use() is None


async def test_two_that_want_the_same_version_share_its_load(bench: Bench) -> None:
    """A preparation and a worker that fell behind meanwhile."""
    bench.may_load.clear()
    both = [asyncio.create_task(bench.hold("v1", seconds)) for seconds in (60, 90)]
    await asyncio.sleep(0)
    bench.may_load.set()
    await asyncio.gather(*both)
    assert (bench.loads, bench.slot.held) == (["v1"], ("v1",))


async def test_a_load_that_failed_is_tried_anew_when_asked_again(bench: Bench) -> None:
    bench.broken.add("v1")
    with pytest.raises(BundleBroken):
        await bench.hold("v1")
    assert bench.slot.held == ()
    bench.broken.clear()
    await bench.hold("v1")
    assert bench.loads == ["v1", "v1"]


async def test_who_stops_waiting_for_a_load_does_not_stop_it_for_others(bench: Bench) -> None:
    bench.may_load.clear()
    impatient, patient = (asyncio.create_task(bench.hold("v1")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    bench.may_load.set()
    await patient
    assert bench.slot.held == ("v1",)
