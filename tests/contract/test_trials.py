"""What every Trials promises: one of each kind at most, of two changes one wins, and the log keeps them all."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.model_registry import SqlModelRegistry
from services.adapters.sql.trials import REPORTS_KEPT, SqlTrials
from services.domain.errors import BundleDeleted, CatalogDown, UnknownVersion
from services.domain.fleet import MAX_PROBLEM
from services.domain.ids import ModelVersion
from services.domain.ports import ModelRegistry, Trials
from services.domain.trials import Likeness, ModelTrial, TrialFigures, TrialKind, TrialReport
from services.domain.vitals import VitalsCounter
from tests.fakes.clock import START, FakeClock
from tests.fakes.model_registry import FakeModelRegistry, model
from tests.fakes.trials import FakeTrials

CANARY, SHADOW = TrialKind.CANARY, TrialKind.SHADOW
V1, V2 = ModelVersion("v1"), ModelVersion("v2")


def _fake(clock: FakeClock) -> tuple[ModelRegistry, Trials]:
    registry = FakeModelRegistry(clock)
    return registry, FakeTrials(registry, clock)


def _sql(url: str, clock: FakeClock) -> tuple[ModelRegistry, Trials]:
    upgrade(url)
    engine = connect(url)
    return SqlModelRegistry(engine, clock), SqlTrials(engine, clock)


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ModelRegistry, Trials]:
    """A registry that knows v1 and v2, and the trials beside it."""
    clock = FakeClock()
    makers: dict[str, Callable[[], tuple[ModelRegistry, Trials]]] = {
        "fake": lambda: _fake(clock),
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}", clock),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url"), clock),
    }
    made = makers[request.param]()
    for version in (V1, V2):
        made[0].register(model(version))
    return made


@pytest.fixture
def registry(both: tuple[ModelRegistry, Trials]) -> ModelRegistry:
    return both[0]


@pytest.fixture
def trials(both: tuple[ModelRegistry, Trials]) -> Trials:
    return both[1]


def change(
    trials: Trials,
    kind: TrialKind,
    version: ModelVersion,
    expected_number: int,
    share: float = 0.25,
    first: int | None = None,
) -> ModelTrial | None:
    return trials.change(
        kind, version, share=share, actor="ada", reason="why", expected_number=expected_number, first=first
    )


def test_there_are_none_at_first(trials: Trials) -> None:
    assert list(trials.current()) == []
    assert list(trials.changes(10)) == []


def test_a_canary_and_a_shadow_may_go_on_at_once(trials: Trials) -> None:
    shadow = change(trials, SHADOW, V2, 0, share=1.0)
    canary = trials.change(CANARY, V1, share=0.05, actor="ada", reason="it is urgent", expected_number=1, override=True)
    assert shadow == ModelTrial(1, SHADOW, V2, 1.0, 1, "ada", "why", START)
    assert canary == ModelTrial(2, CANARY, V1, 0.05, 2, "ada", "it is urgent", START, override=True)
    assert list(trials.current()) == [canary, shadow]


def test_the_newest_change_of_a_kind_counts_and_all_are_kept(trials: Trials) -> None:
    began, other = change(trials, CANARY, V1, 0), change(trials, SHADOW, V2, 1)
    wider = change(trials, CANARY, V1, 2, share=0.5, first=1)
    assert list(trials.current()) == [wider, other]
    ended = change(trials, CANARY, V1, 3, share=0.0, first=1)
    assert ended is not None
    assert (ended.number, ended.first, ended.is_over) == (4, 1, True)
    assert list(trials.current()) == [other]
    assert list(trials.changes(10)) == [ended, wider, other, began]
    assert list(trials.changes(1)) == [ended]


def test_a_stale_change_changes_nothing(trials: Trials) -> None:
    began = change(trials, CANARY, V1, 0)
    assert change(trials, SHADOW, V2, 0) is None
    assert change(trials, SHADOW, V2, 2) is None
    assert list(trials.changes(10)) == [began]


def test_of_two_changes_at_once_one_wins(trials: Trials) -> None:
    barrier, made = threading.Barrier(4), list[ModelTrial | None]()

    def race(version: ModelVersion) -> None:
        barrier.wait()
        try:
            made.append(change(trials, CANARY, version, 0))
        except CatalogDown:  # SQLite may be too busy for one of them
            made.append(None)

    racers = [threading.Thread(target=race, args=(version,)) for version in (V1, V2, V1, V2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sum(each is not None for each in made) == 1
    assert len(trials.changes(10)) == 1


def test_an_unknown_version_is_refused(trials: Trials) -> None:
    with pytest.raises(UnknownVersion, match="v3"):
        change(trials, CANARY, ModelVersion("v3"), 0)


def test_clean_up_leaves_the_bundle_of_a_trial_alone_until_it_is_over(registry: ModelRegistry, trials: Trials) -> None:
    change(trials, CANARY, V1, 0)
    change(trials, SHADOW, V2, 1)
    assert not registry.retire(V1)
    assert not registry.retire(V2)
    change(trials, CANARY, V1, 2, share=0.0, first=1)
    assert registry.retire(V1)
    assert not registry.retire(V2)
    with pytest.raises(BundleDeleted, match="v1"):
        change(trials, CANARY, V1, 3)
    assert not registry.forget(V1), "the audit log names it"


def test_a_trial_whose_bundle_is_gone_can_end(registry: ModelRegistry, trials: Trials) -> None:
    registry.retire(V1)
    assert change(trials, CANARY, V1, 0, share=0.0) is not None


def figures(num_calls: int) -> TrialFigures:
    counter = VitalsCounter()
    for _ in range(num_calls):
        counter.call(0.001, failed=False)
    return TrialFigures(counter.now, VitalsCounter().now, Likeness(2, 0.75, 1))


def test_a_worker_is_known_by_what_it_said_last_of_each_trial(trials: Trials) -> None:
    first = TrialReport(1, "a", START, is_held=False, problem="BundleBroken: cut")
    second = replace(first, is_held=True, problem="", figures=figures(3))
    others = TrialReport(1, "b", START, is_held=True), TrialReport(2, "a", START, is_held=True)
    for each in (others[0], first, second, others[1]):
        trials.report(each)
    assert list(trials.reports(1)) == [second, others[0]]
    assert list(trials.reports(2)) == [others[1]]
    assert list(trials.reports(3)) == []


def test_a_long_problem_is_cut(trials: Trials) -> None:
    trials.report(TrialReport(1, "a", START, is_held=False, problem="x" * (MAX_PROBLEM + 1)))
    assert [len(each.problem) for each in trials.reports(1)] == [MAX_PROBLEM]


@pytest.mark.parametrize("both", ["sqlite"], indirect=True)
def test_what_was_said_of_trials_long_over_is_forgotten(trials: Trials) -> None:
    """The table is bounded, however many trials there are."""
    trials.report(TrialReport(1, "a", START, is_held=True))
    trials.report(TrialReport(2, "a", START, is_held=True))
    for number in range(REPORTS_KEPT + 1):
        change(trials, CANARY, V1, number)
    assert [len(trials.reports(first)) for first in (1, 2)] == [0, 1]
