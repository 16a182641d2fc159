"""What a night promises: whatever happens, it is recorded, and only what the gate passed goes live."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from scheduler.nightly import Night, Outcome, TrainingEnd
from services.domain.errors import CatalogDown
from services.domain.ids import ModelVersion
from services.domain.models import Model
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


class Database:
    """Away until a moment of the clock."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._back_time = clock.now()

    def go_away(self, seconds: float) -> None:
        self._back_time = self._clock.now() + timedelta(seconds=seconds)

    def check(self) -> None:
        if self._clock.now() < self._back_time:
            raise CatalogDown("The catalog database is away.")


class RunBookThere(FakeRunBook):
    def __init__(self, clock: FakeClock, database: Database) -> None:
        super().__init__(clock)
        self._database = database

    def begin(self, kind: str, trigger: str) -> Run | None:
        self._database.check()
        return super().begin(kind, trigger)

    def keep_alive(self, run_id: int) -> bool:
        self._database.check()
        return super().keep_alive(run_id)

    def finish(self, run_id: int, state: RunState, *, version: ModelVersion | None = None, detail: str = "") -> bool:
        self._database.check()
        return super().finish(run_id, state, version=version, detail=detail)

    def fail_abandoned(self) -> Sequence[Run]:
        self._database.check()
        return super().fail_abandoned()


class RegistryThere(FakeModelRegistry):
    def __init__(self, clock: FakeClock, database: Database) -> None:
        super().__init__(clock)
        self._database = database

    def get(self, version: ModelVersion) -> Model:
        self._database.check()
        return super().get(version)


class Stage:
    """A night on fakes, with one registered model that the gate passes."""

    def __init__(self, train: Callable[[Callable[[], bool]], TrainingEnd] = lambda _: TRAINED) -> None:
        self.clock = FakeClock()
        self.database = Database(self.clock)
        self.runs = RunBookThere(self.clock, self.database)
        self.registry = RegistryThere(self.clock, self.database)
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
            pause=self.pause,
        )
        self.registry.register(
            model("tonight", ndcg_gain_at_10_low=0.02, coverage_at_10=0.5, num_bad_vectors=0.0, num_holdout_users=80.0)
        )

    def pause(self, seconds: float) -> bool:
        self.clock.advance(seconds)
        return self.stopping

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
    stage.registry.register(
        model("worse", ndcg_gain_at_10_low=-0.1, coverage_at_10=0.5, num_bad_vectors=0.0, num_holdout_users=80.0)
    )
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


@pytest.mark.parametrize("sweep_first", [True, False])
def test_a_database_that_is_away_for_ten_minutes_does_not_cost_the_night(sweep_first: bool) -> None:
    """Its lease has run out when the database is back, and the scheduler's sweep may look before it is renewed."""

    def train(keep_going: Callable[[], bool]) -> TrainingEnd:
        stage.database.go_away(600)
        for _ in range(120):
            stage.clock.advance(10)
            for step in (stage.night.sweep, keep_going) if sweep_first else (keep_going, stage.night.sweep):
                assert step() is not False
        return TRAINED

    stage = Stage(train)
    run = stage.run()
    assert (run.state, run.version) == (RunState.SUCCEEDED, "tonight")
    live = stage.registry.live()
    assert live is not None
    assert live.version == "tonight"


def test_a_night_asked_for_after_an_outage_does_not_take_over_the_one_that_runs_here() -> None:
    def train(_: Callable[[], bool]) -> TrainingEnd:
        stage.clock.advance(600)
        stage.night.run("run-now")
        return TRAINED

    stage = Stage(train)
    assert stage.run().state is RunState.SUCCEEDED
    assert len(stage.runs.newest(10)) == 1


def test_a_database_that_goes_away_when_training_ends_is_waited_for() -> None:
    def train(_: Callable[[], bool]) -> TrainingEnd:
        stage.database.go_away(600)
        return TRAINED

    stage = Stage(train)
    assert stage.run().state is RunState.SUCCEEDED


def test_a_database_that_goes_away_between_verdict_and_promotion_is_waited_for() -> None:
    def go_away_once() -> None:
        stage.registry.before_assign = lambda: None
        stage.database.go_away(600)

    stage = Stage()
    stage.registry.before_assign = go_away_once
    assert stage.run().state is RunState.SUCCEEDED
    assert len(stage.registry.assignments(10)) == 1


def test_a_database_that_goes_away_when_the_model_is_live_is_waited_for() -> None:
    """So that the run book says what happened."""

    class LastWord(RecordingNotice):
        def announce(self, generation: int) -> None:
            stage.database.go_away(600)

    stage = Stage()
    replace(stage.night, notice=LastWord()).run("schedule")
    assert stage.runs.newest(1)[0].state is RunState.SUCCEEDED


def test_a_database_that_stays_away_fails_the_night_and_nothing_is_promoted() -> None:
    def train(_: Callable[[], bool]) -> TrainingEnd:
        stage.database.go_away(1e7)
        return TRAINED

    stage = Stage(train)
    stage.night.run("schedule")
    assert stage.registry.live() is None
    stage.clock.advance(1e7)
    stage.night.sweep()
    assert stage.runs.newest(1)[0].state is RunState.FAILED


def test_a_scheduler_that_is_asked_to_stop_does_not_wait_for_the_database() -> None:
    def train(_: Callable[[], bool]) -> TrainingEnd:
        stage.database.go_away(600)
        stage.stopping = True
        return TRAINED

    stage = Stage(train)
    started = stage.clock.now()
    stage.night.run("schedule")
    assert stage.clock.now() - started < timedelta(seconds=10)
    assert stage.registry.live() is None


def test_the_sweep_marks_the_runs_that_others_left_behind() -> None:
    stage = Stage()
    left = stage.runs.begin("night", "schedule")
    assert left is not None
    stage.night.sweep()
    assert stage.runs.newest(1)[0].state is RunState.RUNNING
    stage.clock.advance(61)
    stage.night.sweep()
    assert stage.runs.newest(1)[0].state is RunState.FAILED


def test_a_sweep_survives_a_database_that_is_away() -> None:
    stage = Stage()
    stage.database.go_away(60)
    stage.night.sweep()
