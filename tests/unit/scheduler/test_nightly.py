"""What a night promises: whatever happens, it is recorded, and only what the gate passed goes live."""

from collections.abc import Callable

import pytest

from scheduler.nightly import Night, Outcome, TrainingEnd
from services.domain.errors import CatalogDown
from services.domain.ids import ModelVersion
from services.domain.runs import Run, RunState
from services.registry.gate import GateRules
from tests.fakes.clock import FakeClock
from tests.fakes.model_registry import FakeModelRegistry, model
from tests.fakes.notice import RecordingNotice
from tests.fakes.run_book import FakeRunBook

TRAINED = TrainingEnd(Outcome.COMPLETED, ModelVersion("tonight"))


class FakeLauncher:
    """Trains by calling a function; `keep_going` is what the night passed to it."""

    def __init__(self, train: Callable[[Callable[[], bool]], TrainingEnd]) -> None:
        self._train = train
        self.num_launches = 0

    def run(self, keep_going: Callable[[], bool]) -> TrainingEnd:
        self.num_launches += 1
        return self._train(keep_going)


class Stage:
    """A night on fakes, with one registered model that the gate passes."""

    def __init__(self, train: Callable[[Callable[[], bool]], TrainingEnd] = lambda _: TRAINED) -> None:
        self.clock = FakeClock()
        self.runs = FakeRunBook(self.clock)
        self.registry = FakeModelRegistry(self.clock)
        self.notice = RecordingNotice()
        self.launcher = FakeLauncher(train)
        self.stopping = False
        self.night = Night(
            runs=self.runs,
            registry=self.registry,
            notice=self.notice,
            launcher=self.launcher,
            rules=GateRules(),
            clock=self.clock,
            stopping=lambda: self.stopping,
        )
        self.registry.register(model("tonight", ndcg_gain_at_10_low=0.02, coverage_at_10=0.5, num_bad_vectors=0.0))

    def run(self) -> Run:
        """Tonight's run as recorded."""
        self.night.run("schedule")
        return self.runs.newest(1)[0]


def test_a_good_model_is_live_in_the_morning() -> None:
    stage = Stage()
    run = stage.run()
    assert (run.state, run.version, run.trigger) == (RunState.SUCCEEDED, "tonight", "schedule")
    live = stage.registry.live()
    assert live is not None
    assert (live.version, live.actor) == ("tonight", "scheduler")
    assert stage.notice.generations == [1]


def test_a_model_that_the_gate_refuses_is_recorded_with_the_reason_and_stays_out() -> None:
    stage = Stage(lambda _: TrainingEnd(Outcome.COMPLETED, ModelVersion("worse")))
    stage.registry.register(model("worse", ndcg_gain_at_10_low=-0.1, coverage_at_10=0.5, num_bad_vectors=0.0))
    run = stage.run()
    assert (run.state, run.version) == (RunState.REFUSED, "worse")
    assert "the lower end is not above" in run.detail
    assert stage.registry.live() is None


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (Outcome.FAILED, RunState.FAILED),
        (Outcome.STOPPED, RunState.FAILED),
        (Outcome.TIMED_OUT, RunState.TIMED_OUT),
    ],
)
def test_training_that_does_not_end_well_is_recorded_with_its_last_words(outcome: Outcome, state: RunState) -> None:
    stage = Stage(lambda _: TrainingEnd(outcome, detail="its last words"))
    run = stage.run()
    assert (run.state, run.detail) == (state, "its last words")
    assert stage.registry.live() is None


def test_a_version_that_training_names_but_never_registered_fails_the_run() -> None:
    run = Stage(lambda _: TrainingEnd(Outcome.COMPLETED, ModelVersion("nowhere"))).run()
    assert run.state is RunState.FAILED
    assert "nowhere" in run.detail


def test_an_unexpected_error_is_recorded_too() -> None:
    def broken(keep_going: Callable[[], bool]) -> TrainingEnd:
        raise ZeroDivisionError

    run = Stage(broken).run()
    assert run.state is RunState.FAILED
    assert "ZeroDivisionError" in run.detail


def test_two_nights_never_run_at_once() -> None:
    stage = Stage()
    stage.runs.begin("night", "run-now")
    stage.night.run("schedule")
    assert stage.launcher.num_launches == 0
    assert len(stage.runs.newest(10)) == 1


def test_training_goes_on_until_the_scheduler_stops() -> None:
    heard: list[bool] = []

    def train(keep_going: Callable[[], bool]) -> TrainingEnd:
        heard.append(keep_going())
        stage.stopping = True
        heard.append(keep_going())
        return TrainingEnd(Outcome.STOPPED, detail="stopped")

    stage = Stage(train)
    assert stage.run().state is RunState.FAILED
    assert heard == [True, False]


def test_a_long_training_keeps_its_lease() -> None:
    def train(keep_going: Callable[[], bool]) -> TrainingEnd:
        for _ in range(100):
            stage.clock.advance(10)
            assert keep_going()
        return TRAINED

    stage = Stage(train)
    assert stage.run().state is RunState.SUCCEEDED


def test_a_night_that_lost_its_lease_ends_training_and_promotes_nothing() -> None:
    """Its machine slept; another scheduler has taken over meanwhile."""

    def train(keep_going: Callable[[], bool]) -> TrainingEnd:
        stage.clock.advance(3_600)
        assert stage.runs.begin("night", "schedule") is not None
        assert not keep_going()
        return TRAINED

    stage = Stage(train)
    stage.night.run("schedule")
    assert stage.registry.live() is None
    assert [run.state for run in stage.runs.newest(10)] == [RunState.RUNNING, RunState.FAILED]


def test_a_database_that_is_away_for_a_while_does_not_end_training() -> None:
    class Flaky(FakeRunBook):
        away = False

        def keep_alive(self, run_id: int) -> bool:
            if self.away:
                raise CatalogDown("away")
            return super().keep_alive(run_id)

    def train(keep_going: Callable[[], bool]) -> TrainingEnd:
        flaky.away = True
        stage.clock.advance(30)
        assert keep_going()
        flaky.away = False
        return TRAINED

    stage = Stage(train)
    flaky = Flaky(stage.clock)
    Night(
        runs=flaky,
        registry=stage.registry,
        notice=stage.notice,
        launcher=stage.launcher,
        rules=GateRules(),
        clock=stage.clock,
        stopping=lambda: False,
    ).run("schedule")
    assert flaky.newest(1)[0].state is RunState.SUCCEEDED
