"""What the watch promises: a model whose answers get worse is taken back by itself, and no other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.chain import StepFailed, StepRefused, Work
from scheduler.facts import LOAD, SWAP, Facts
from scheduler.steps.watch import LOOK_S, Watch, WatchBounds, by_worker
from services.domain.errors import NothingToRollBack
from services.domain.fleet import ServingWorker
from services.domain.models import Assignment
from services.domain.runs import Run, RunState
from services.domain.vitals import Vitals, VitalsCounter
from services.patience import Patience
from tests.fakes.clock import START, FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.model_registry import PASSED, FakeModelRegistry, model

BOUNDS = WatchBounds(
    watch_s=60.0, min_calls=100, max_failed_rise=0.01, max_degraded_rise=0.05, max_p99_ratio=3.0, max_p99_ms=20.0
)


def _vitals(num_calls: int, *, failed: int = 0, degraded: int = 0, seconds: float = 0.002) -> Vitals:
    counter = VitalsCounter()
    for number in range(num_calls):
        counter.call(seconds, failed=number < failed)
    for _ in range(degraded):
        counter.degraded()
    return counter.now


class Stage:
    """Two workers that answered a thousand calls each before the swap, and what they answer at each look after it."""

    def __init__(self, *after: Vitals) -> None:
        self.clock = FakeClock()
        self.fleet = FakeFleet(self.clock)
        self.registry = FakeModelRegistry(self.clock)
        self.usual = _vitals(1_000, degraded=10)
        self.looks = list(after)
        self.reasons: list[str] = []
        self.stopping = False
        for version in ("old", "new"):
            self.registry.register(model(version, verdict=PASSED))
            self._promote(version)
        for name in ("a", "b"):
            self._report(name, self.usual)
        before = by_worker(self.fleet.workers())
        self.facts = Facts(
            1,
            {LOAD: {"vitals": before}, SWAP: {"generation": 2, "swap_time": START.isoformat(), "vitals": before}},
        )

    def run(self, take_back: Callable[[str], Assignment] | None = None) -> dict[str, object]:
        watch = Watch(
            fleet=self.fleet,
            registry=self.registry,
            take_back=take_back or self._take_back,
            bounds=BOUNDS,
            clock=self.clock,
            pause=self._pause,
            timeout_s=3_600.0,
        )
        work = Work(
            run=Run(1, "night", "schedule", START, RunState.RUNNING),
            facts=self.facts,
            keep_going=lambda: not self.stopping,
            is_ours=lambda: True,
            note=lambda _: None,
            patience=Patience(self.clock, self._pause),
            timeout_s=3_600.0,
        )
        return dict(watch.run(work))

    def _pause(self, seconds: float) -> bool:
        self.clock.advance(seconds)
        if self.looks:
            self._report("a", self.usual + self.looks.pop(0))
        self._report("b", self.usual)
        return self.stopping

    def _report(self, name: str, vitals: Vitals) -> None:
        self.fleet.report(ServingWorker(name, "host/1", 1, self.clock.now(), generation=2, vitals=vitals))

    def _promote(self, version: str) -> Assignment:
        live = self.registry.live()
        assigned = self.registry.assign(
            model(version).version,
            actor="test",
            reason="",
            override=False,
            expected_generation=0 if live is None else live.generation,
        )
        assert assigned is not None
        return assigned

    def roll_back_as(self, actor: str, *, restores: int | None) -> None:
        self.registry.assign(
            model("old").version,
            actor=actor,
            reason="50.0% of calls failed.",
            override=False,
            expected_generation=2,
            restores=restores,
        )

    def _take_back(self, reason: str) -> Assignment:
        self.reasons.append(reason)
        return self._promote("old")


def test_a_model_that_answers_as_well_as_the_last_one_stays() -> None:
    stage = Stage(_vitals(500, degraded=5), _vitals(1_000, degraded=10))
    found = stage.run()
    assert stage.reasons == []
    assert stage.clock.now() - START >= timedelta(seconds=60)
    assert str(found["found"]).startswith("1,000 calls: 0.00% failed, 1.00% degraded, p99 2")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (_vitals(200, failed=3), "1.5% of calls failed since the swap, 0.0% before"),
        (_vitals(200, degraded=13), "6.5% of answers were degraded since the swap, 1.0% before"),
        (_vitals(200, seconds=0.1), "p99 latency was 109.5 ms since the swap, 2.8 ms before"),
        (_vitals(200, seconds=60.0), "beyond all measure"),
    ],
)
def test_answers_that_get_worse_take_the_model_back_within_one_look(after: Vitals, words: str) -> None:
    stage = Stage(after)
    with pytest.raises(StepRefused, match="old is live again"):
        stage.run()
    assert words in stage.reasons[0]
    live = stage.registry.live()
    assert live is not None
    assert live.version == "old"
    assert stage.clock.now() - START <= timedelta(seconds=LOOK_S)


def test_a_few_calls_prove_nothing() -> None:
    stage = Stage(_vitals(99, failed=99))
    stage.run()
    assert stage.reasons == []


def test_latency_below_the_floor_is_not_held_against_a_model() -> None:
    stage = Stage(_vitals(200, seconds=0.012))  # 4 times as long as before
    stage.run()
    assert stage.reasons == []


def test_a_worker_that_was_started_anew_counts_from_nothing() -> None:
    stage = Stage()
    stage.fleet.leave("a")
    stage.fleet.report(ServingWorker("c", "host/2", 2, START, generation=2, vitals=_vitals(200, failed=100)))
    with pytest.raises(StepRefused):
        stage.run()


def test_once_somebody_else_changed_the_live_model_the_watch_is_over() -> None:
    stage = Stage(_vitals(200, failed=100))
    stage._promote("old")
    assert "Somebody changed" in str(stage.run()["found"])
    assert stage.reasons == []


def test_a_watch_whose_scheduler_died_after_the_rollback_says_so() -> None:
    stage = Stage(_vitals(200, failed=100))
    stage.roll_back_as("scheduler", restores=1)
    with pytest.raises(StepRefused, match=r"50\.0% of calls failed\. old is live again\.") as refused:
        stage.run()
    assert refused.value.outputs["live"] == "old"
    assert stage.reasons == []


@pytest.mark.parametrize(("actor", "restores"), [("ann", 1), ("scheduler", None)])
def test_the_rollback_of_another_is_theirs(actor: str, restores: int | None) -> None:
    stage = Stage(_vitals(200, failed=100))
    stage.roll_back_as(actor, restores=restores)
    assert "Somebody changed" in str(stage.run()["found"])


def test_where_nobody_serves_there_is_nothing_to_watch() -> None:
    stage = Stage()
    for name in ("a", "b"):
        stage.fleet.leave(name)
    assert stage.run()["found"] == "nobody asked"
    assert stage.clock.now() == START


def test_the_first_model_has_none_before_it_and_serves_on_in_words() -> None:
    def refuse(_: str) -> Assignment:
        raise NothingToRollBack("There is no earlier version.")

    with pytest.raises(StepRefused, match="no model before it to go back to"):
        Stage(_vitals(200, failed=100)).run(refuse)


def test_a_watch_that_was_interrupted_goes_on_until_its_own_end() -> None:
    stage = Stage(_vitals(100))
    stage.stopping = True
    with pytest.raises(StepFailed):
        stage.run()
    stage.stopping = False
    stage.clock.advance(59.0 - LOOK_S)
    stage.run()
    assert stage.clock.now() - START <= timedelta(seconds=60 + LOOK_S)


def test_the_usual_is_of_all_workers() -> None:
    """One that had failed before fails on, and that is no news."""
    stage = Stage(_vitals(200, failed=2))
    stage.facts = replace(
        stage.facts, outputs={**stage.facts.outputs, LOAD: {"vitals": {"a": _vitals(100, failed=2).to_json()}}}
    )
    stage.run()
    assert stage.reasons == []
