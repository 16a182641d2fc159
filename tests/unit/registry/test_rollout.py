"""What the first phase of a swap promises: no flip before enough workers are ready, and no waiting for the dead."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from services.domain.errors import CatalogDown, SwapUnderWay, WorkersNotReady
from services.domain.fleet import SILENT_AFTER, Preparation, ServingWorker
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.registry.promotion import promote, rollback
from services.registry.rollout import POLL_S, Rollout
from tests.fakes.clock import START, FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.model_registry import PASSED, FakeModelRegistry, model
from tests.fakes.notice import BrokenNotice, RecordingNotice

V1, V2, V3 = ModelVersion("v1"), ModelVersion("v2"), ModelVersion("v3")
TIMEOUT_S = 60.0


class FlakyFleet(FakeFleet):
    is_down = False

    def workers(self) -> list[ServingWorker]:
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")
        return list(super().workers())


class Stage:
    """A registry where v1 is live, workers that serve it, and whatever `then` does to them at each pause."""

    def __init__(self, num_workers: int = 2, min_ready: float = 0.5) -> None:
        self.clock = FakeClock()
        self.registry = FakeModelRegistry(self.clock)
        for version in (V1, V2, V3):
            self.registry.register(model(version, verdict=PASSED))
        self.notice, self.preparations = RecordingNotice(), RecordingNotice()
        promote(self.registry, self.notice, V1, "ada")
        self.fleet = FlakyFleet(self.clock)
        self.workers = [f"worker-{number}" for number in range(num_workers)]
        for number, worker_id in enumerate(self.workers):
            self.fleet.report(ServingWorker(worker_id, "host/1", number, START, generation=1, held=(V1,)))
        self.then: list[Callable[[], object]] = []
        self.stops = False
        self.waited_s = 0.0
        self.silent: set[str] = set()
        timeout = timedelta(seconds=TIMEOUT_S)
        self.rollout = Rollout(self.fleet, self.preparations, self.clock, self._pause, timeout, min_ready)

    def rollout_with(self, then: Callable[[Assignment], object]) -> Rollout:
        return replace(self.rollout, then=then)

    def _pause(self, pause_s: float) -> bool:
        """Time goes by, the living beat, and the next thing happens."""
        assert self.waited_s < 1_000, "it waits for ever"
        self.waited_s += pause_s
        self.clock.advance(pause_s)
        for worker in FakeFleet.workers(self.fleet):
            if worker.worker_id not in self.silent:
                self.fleet.report(replace(worker, alive_time=self.clock.now()))
        if self.then:
            self.then.pop(0)()
        return self.stops

    @property
    def opened(self) -> Preparation:
        opened = self.fleet.preparation()
        assert opened is not None
        return opened

    def answer(self, worker_id: str, problem: str = "") -> None:
        """The worker is ready for the open preparation, or says why not."""
        (worker,) = [each for each in FakeFleet.workers(self.fleet) if each.worker_id == worker_id]
        held = worker.held if problem else (*worker.held, self.opened.version)
        self.fleet.report(replace(worker, held=held, answered=self.opened.number, problem=problem))

    def all_answer(self) -> None:
        for worker_id in self.workers:
            self.answer(worker_id)

    def promote(self, version: ModelVersion = V2) -> ModelVersion:
        return promote(self.registry, self.notice, version, "ada", rollout=self.rollout).version

    @property
    def live(self) -> tuple[int, str]:
        live = self.registry.live()
        assert live is not None
        return live.generation, live.version


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Whatever a test does, no preparation stays open."""
    stage = Stage()
    yield stage
    assert stage.fleet.preparation() is None


def test_the_flip_comes_when_all_are_ready_and_not_before(stage: Stage) -> None:
    def first() -> None:
        assert stage.opened == Preparation(1, V2, 1, START + timedelta(seconds=TIMEOUT_S))
        stage.answer("worker-0")

    def last() -> None:
        assert stage.live == (1, V1)
        stage.answer("worker-1")

    stage.then = [first, last]
    assert stage.promote() == V2
    assert stage.live == (2, V2)
    assert stage.preparations.generations == [1]
    assert stage.notice.generations == [1, 2]


def test_where_nobody_serves_there_is_nothing_to_wait_for() -> None:
    stage = Stage(num_workers=0)
    stage.promote()
    assert (stage.live, stage.waited_s, stage.preparations.generations) == ((2, V2), 0, [])


def test_a_rollback_to_what_all_hold_prepares_nothing(stage: Stage) -> None:
    stage.then = [stage.all_answer]
    stage.promote()
    before_s = stage.waited_s
    rollback(stage.registry, stage.notice, "ada", rollout=stage.rollout)
    assert (stage.live, stage.waited_s) == ((3, V1), before_s)
    assert stage.preparations.generations == [1]


def test_a_rollback_to_what_one_has_let_go_of_prepares_it_there(stage: Stage) -> None:
    stage.then = [stage.all_answer]
    stage.promote()
    stage.fleet.report(ServingWorker("worker-1", "host/1", 1, stage.clock.now(), generation=2, held=(V2,)))
    stage.then = [lambda: stage.answer("worker-1")]
    rollback(stage.registry, stage.notice, "ada", rollout=stage.rollout)
    assert (stage.live, stage.preparations.generations) == ((3, V1), [1, 2])


def test_when_the_time_is_up_enough_are_enough(stage: Stage) -> None:
    stage.then = [lambda: stage.answer("worker-0")]
    stage.promote()
    assert stage.live == (2, V2)
    assert stage.waited_s == pytest.approx(TIMEOUT_S, abs=2 * POLL_S)


def test_too_few_change_nothing_and_each_is_quoted() -> None:
    stage = Stage(num_workers=3, min_ready=0.5)
    stage.then = [lambda: stage.answer("worker-0"), lambda: stage.answer("worker-1", "BundleBroken: tables differ.")]
    with pytest.raises(WorkersNotReady) as caught:
        stage.promote()
    assert stage.live == (1, V1)
    assert stage.fleet.preparation() is None
    said = str(caught.value)
    assert "1 of 3 workers are ready" in said
    assert "host/1 (pid 0): ready" in said
    assert "host/1 (pid 1): BundleBroken: tables differ" in said
    assert "host/1 (pid 2): not ready in time" in said


def test_a_broken_bundle_is_refused_as_soon_as_all_have_said_so(stage: Stage) -> None:
    """Nobody waits for the deadline when nothing can come of it."""
    stage.then = [lambda: stage.answer("worker-0", "broken"), lambda: stage.answer("worker-1", "broken")]
    with pytest.raises(WorkersNotReady):
        stage.promote()
    assert stage.waited_s == pytest.approx(2 * POLL_S)


def test_one_that_can_never_be_ready_does_not_hold_up_the_rest(stage: Stage) -> None:
    stage.then = [lambda: stage.answer("worker-0", "broken"), lambda: stage.answer("worker-1")]
    stage.promote()
    assert stage.live == (2, V2)
    assert stage.waited_s == pytest.approx(2 * POLL_S)


@pytest.mark.parametrize(("min_ready", "num_ready", "flips"), [(1.0, 3, False), (0.75, 3, True), (0.01, 0, False)])
def test_how_many_are_enough_is_a_setting(min_ready: float, num_ready: int, flips: bool) -> None:
    stage = Stage(num_workers=4, min_ready=min_ready)
    stage.then = [
        lambda each=each, n=n: stage.answer(each, "" if n < num_ready else "broken")  # type: ignore[misc]
        for n, each in enumerate(stage.workers)
    ]
    if flips:
        assert stage.promote() == V2
    else:
        with pytest.raises(WorkersNotReady):
            stage.promote()


def test_the_dead_are_not_waited_for_until_the_deadline(stage: Stage) -> None:
    """kill -9 during the first phase: silence, and in the end no row."""
    stage.silent.add("worker-1")
    stage.then = [lambda: stage.answer("worker-0")]
    stage.promote()
    assert stage.live == (2, V2)
    assert SILENT_AFTER.total_seconds() < stage.waited_s < TIMEOUT_S / 2
    assert [each.worker_id for each in stage.fleet.workers()] == ["worker-0"]


def test_a_worker_that_takes_the_place_of_a_dead_one_is_waited_for(stage: Stage) -> None:
    stage.silent.add("worker-1")
    newcomer = ServingWorker("worker-2", "host/1", 2, START, generation=1, held=(V1,))
    busy: list[Callable[[], object]] = [lambda: None] * round(15 / POLL_S)
    stage.then = [
        lambda: stage.answer("worker-0"), lambda: stage.fleet.report(newcomer), *busy, lambda: stage.answer("worker-2"),
    ]  # fmt: skip
    stage.promote()
    assert 15 < stage.waited_s < 20


def test_a_worker_whose_clock_is_wrong_is_alive_when_it_beats(stage: Stage) -> None:
    late = timedelta(minutes=5)
    beats = [
        lambda: stage.fleet.report(
            ServingWorker("worker-1", "host/1", 1, stage.clock.now() - late, generation=1, held=(V1,))
        )
    ] * round(15 / POLL_S)
    stage.silent.add("worker-1")
    stage.fleet.report(ServingWorker("worker-1", "host/1", 1, START - late, generation=1, held=(V1,)))
    stage.then = [lambda: stage.answer("worker-0"), *beats, lambda: stage.answer("worker-1")]
    stage.promote()
    assert stage.waited_s > 15


def test_after_an_outage_workers_are_given_time_to_come_back(stage: Stage) -> None:
    """All of them are silent then; taking them for dead would flip what nobody has prepared."""

    def go_down() -> None:
        stage.fleet.is_down = True
        stage.silent.update(stage.workers)

    def come_back() -> None:
        stage.fleet.is_down = False

    def beat_again() -> None:
        assert stage.live == (1, V1)
        stage.silent.clear()

    nothing: list[Callable[[], object]] = [lambda: None]
    stage.then = [
        go_down, *nothing * round(30 / POLL_S), come_back, *nothing * round(8 / POLL_S), beat_again,
        lambda: stage.answer("worker-0"), lambda: stage.answer("worker-1"),
    ]  # fmt: skip
    stage.promote()
    assert stage.live == (2, V2)
    assert 38 < stage.waited_s < 40


def test_an_outage_over_the_deadline_is_no_reason_to_give_up(stage: Stage) -> None:
    nothing: list[Callable[[], object]] = [lambda: None]
    stage.then = [
        lambda: setattr(stage.fleet, "is_down", True), *nothing * round(62 / POLL_S),
        lambda: setattr(stage.fleet, "is_down", False), *nothing * 3,
        lambda: stage.answer("worker-0"), lambda: stage.answer("worker-1"),
    ]  # fmt: skip
    stage.promote()
    assert stage.live == (2, V2)


def test_a_database_that_stays_away_is_said_in_the_end(stage: Stage) -> None:
    stage.then = [lambda: setattr(stage.fleet, "is_down", True)]
    with pytest.raises(CatalogDown):
        stage.promote()
    stage.fleet.is_down = False
    assert stage.live == (1, V1)


def test_a_second_promotion_waits_for_the_first(stage: Stage) -> None:
    other = stage.fleet.open(V3, 1, START + timedelta(seconds=TIMEOUT_S))
    assert other is not None
    stage.then = [lambda: None, lambda: stage.fleet.close(other.number), lambda: None]
    stage.then += [stage.all_answer]
    stage.promote()
    assert (stage.live, stage.preparations.generations) == ((2, V2), [2])


def test_a_second_promotion_gives_up_in_the_end() -> None:
    stage = Stage()
    stage.fleet.open(V3, 1, START + timedelta(hours=1))
    with pytest.raises(SwapUnderWay, match="Another version"):
        stage.promote()
    assert stage.opened.version == V3


def test_a_rollback_takes_the_place_of_a_promotion(stage: Stage) -> None:
    """Who takes a bad model back does not wait for the next one."""
    stage.then = [stage.all_answer]
    stage.promote()
    stage.fleet.report(ServingWorker("worker-1", "host/1", 1, stage.clock.now(), generation=2, held=(V2,)))

    def roll_back() -> None:
        stage.then = [lambda: stage.answer("worker-1")]
        rollback(stage.registry, stage.notice, "bob", rollout=stage.rollout)

    stage.then = [roll_back]
    with pytest.raises(SwapUnderWay, match="v3 gave way"):
        stage.promote(V3)
    assert stage.live == (3, V1)


def test_a_promotion_gives_way_while_the_rollback_is_prepared() -> None:
    stage = Stage()
    deadline = START + timedelta(seconds=TIMEOUT_S)
    stage.then = [lambda: stage.fleet.open(V1, 1, deadline, preempt=True)]
    with pytest.raises(SwapUnderWay, match="v2 gave way"):
        stage.promote()
    assert stage.opened.version == V1, "what is not its own it does not close"


def test_whoever_is_told_to_stop_changes_nothing(stage: Stage) -> None:
    stage.stops = True
    with pytest.raises(WorkersNotReady, match="told to stop"):
        stage.promote()
    assert stage.live == (1, V1)


def test_a_notice_that_fails_only_delays(stage: Stage) -> None:
    rollout = replace(stage.rollout, notice=BrokenNotice())
    stage.then = [stage.all_answer]
    assert promote(stage.registry, stage.notice, V2, "ada", rollout=rollout).generation == 2


def test_losing_the_race_prepares_for_the_new_generation(stage: Stage) -> None:
    def other_wins() -> None:
        stage.registry.before_assign = lambda: None
        stage.registry.assign(V3, actor="bob", reason="", override=False, expected_generation=1)

    stage.registry.before_assign = other_wins
    stage.then = [stage.all_answer]
    stage.promote()
    assert stage.live == (3, V2)
