"""A worker that is not ready at the flip answers on, sends callers away where others can serve, and loads."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.domain.fleet import SILENT_AFTER, ServingWorker
from services.domain.ids import ModelVersion
from services.inference.live_bundle import BundleAddress
from services.inference.serving_model import ServingModel
from tests.fakes import model_registry
from tests.fakes.clock import START
from tests.unit.inference.test_follower import Bench

V2 = ModelVersion("v2")
ME = ServingWorker("me", "host/1", 11, START, generation=1)
AHEAD = ServingWorker("a", "host/1", 12, START, generation=2)


@pytest.fixture
async def bench(tmp_path: Path, model: ServingModel, other_model: ServingModel) -> Bench:
    """Serves v1 and was told so; v2 cannot be loaded."""
    bench = Bench(tmp_path, model, other_model)
    bench.assign("v1")
    await bench.follower.catch_up()
    assert await bench.told.get() == "v1"
    bench.broken.add("v2")
    bench.fleet.report(ME)
    return bench


def told(bench: Bench) -> list[str | None]:
    """What the health service was told since: the version that serves, or None for NOT_SERVING."""
    return [bench.told.get_nowait() for _ in range(bench.told.qsize())]


async def test_a_flip_to_what_is_held_needs_no_load(bench: Bench) -> None:
    bench.broken.clear()
    await bench.slot.hold(model_registry.model("v2"), START + timedelta(seconds=60))
    bench.broken.add("v2")
    bench.assign("v2")
    await bench.follower.catch_up()
    assert (bench.slot.version, bench.slot.generation, told(bench)) == ("v2", 2, ["v2"])
    assert bench.swaps("failed") == 0


async def test_a_rollback_to_what_is_held_needs_no_load(bench: Bench) -> None:
    bench.broken.clear()
    await bench.slot.hold(model_registry.model("v1"), START)
    bench.slot._rollback_window = timedelta(hours=1)
    bench.assign("v2")
    await bench.follower.catch_up()
    bench.broken.add("v1")
    bench.assign("v1")
    await bench.follower.catch_up()
    assert (bench.slot.version, bench.slot.generation, bench.tried) == ("v1", 3, ["v1", "v2"])


async def test_it_turns_away_callers_while_others_serve_and_comes_back_when_it_is_ready(bench: Bench) -> None:
    bench.fleet.report(AHEAD)
    bench.assign("v2")
    await bench.follower.catch_up()
    assert bench.slot.version == "v1", "whoever calls all the same is answered"
    assert told(bench) == [None]
    bench.broken.clear()
    bench.clock.advance(1)
    await bench.follower.catch_up()
    assert (bench.slot.version, told(bench)) == ("v2", ["v2"])


async def test_who_holds_the_version_counts_as_ahead(bench: Bench) -> None:
    """It flips within milliseconds, long before it says so."""
    bench.fleet.report(replace(AHEAD, generation=1, held=(V2,)))
    bench.assign("v2")
    await bench.follower.catch_up()
    assert told(bench) == [None]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [replace(AHEAD, generation=1)],
        [AHEAD, replace(AHEAD, worker_id="b", generation=1), replace(AHEAD, worker_id="c", generation=1)],
        [replace(AHEAD, alive_time=START - SILENT_AFTER - timedelta(seconds=1))],
    ],
    ids=["nobody else", "behind as well", "one of four", "a dead one"],
)
async def test_it_serves_on_where_too_few_others_are_ahead(bench: Bench, others: list[ServingWorker]) -> None:
    """Law 6 wins: all workers turning callers away is an outage, and an old model is none."""
    for each in others:
        bench.fleet.report(each)
    bench.assign("v2")
    await bench.follower.catch_up()
    assert (bench.slot.version, told(bench)) == ("v1", [])


async def test_callers_are_taken_back_when_the_others_are_gone(bench: Bench) -> None:
    bench.fleet.report(AHEAD)
    bench.assign("v2")
    await bench.follower.catch_up()
    bench.fleet.leave(AHEAD.worker_id)
    await bench.follower.catch_up()
    assert told(bench) == [None, "v1"]


async def test_callers_are_taken_back_when_nobody_knows_of_the_others(bench: Bench) -> None:
    bench.fleet.report(AHEAD)
    bench.assign("v2")
    await bench.follower.catch_up()
    bench.registry.is_down = True
    await bench.follower.catch_up()
    assert told(bench) == [None, "v1"]


async def test_a_rollback_to_what_it_serves_brings_it_up_to_date(bench: Bench) -> None:
    bench.fleet.report(AHEAD)
    bench.assign("v2")
    await bench.follower.catch_up()
    bench.assign("v1")
    await bench.follower.catch_up()
    assert (bench.slot.generation, told(bench)) == (3, [None, "v1"])


async def test_what_was_taken_back_while_it_loaded_is_not_swapped_in(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that is late must not serve for a moment what a rollback just took back."""
    bench.broken.clear()
    load: Any = bench.slot._load

    async def load_slowly(bundle: BundleAddress) -> ServingModel:
        loaded: ServingModel = await load(bundle)
        bench.assign("v1")
        return loaded

    monkeypatch.setattr(bench.slot, "_load", load_slowly)
    bench.assign("v2")
    await bench.follower.catch_up()
    assert (bench.slot.version, bench.slot.generation) == ("v1", 3)
    assert told(bench) == ["v1"]
