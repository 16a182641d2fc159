"""Clean-up: what is kept and why, what goes, and that nothing goes that anybody needs or that nobody understands."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from services.domain.errors import BundleStoreDown, CatalogDown
from services.domain.fleet import ServingWorker
from services.domain.ids import ModelVersion
from services.domain.model_keeping import ModelsCleaned, StoredBundle
from services.domain.models import Model, Pin
from services.domain.nights import NIGHT, StepState
from services.domain.runs import RunState
from services.domain.trials import TrialKind
from services.registry.cleanup import CleanUp, KeepRules
from services.registry.open_nights import versions_in_hand
from tests.fakes.clock import START, FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.model_registry import FakeModelRegistry, model
from tests.fakes.night_book import FakeNightBook
from tests.fakes.run_book import FakeRunBook
from tests.fakes.trials import FakeTrials

DAY_S = 86_400.0


class Shelf:
    """A store of names and times. `before_delete` runs before each: where a test crashes it."""

    def __init__(self) -> None:
        self.times = {"left-by-a-crash": START - timedelta(days=2), "published-just-now": START - timedelta(hours=1)}
        self.before_delete: Callable[[str], object] = lambda _: None

    def stored(self) -> list[StoredBundle]:
        return [StoredBundle(location, time) for location, time in self.times.items()]

    def delete(self, location: str) -> None:
        self.before_delete(location)
        self.times.pop(location, None)


class Stage:
    """Thirty versions, `v29` the newest, a day apart; the newest two and those of the last three days are kept."""

    def __init__(self) -> None:
        self.clock, self.shelf = FakeClock(), Shelf()
        self.registry, self.fleet = FakeModelRegistry(self.clock), FakeFleet(self.clock)
        self.trials = FakeTrials(self.registry, self.clock)
        self.runs = FakeRunBook(self.clock)
        self.nights = FakeNightBook(self.clock, self.runs)
        for number in range(30):
            self.add(f"v{number:02}", 29 - number)

    def add(self, version: str, days: float, **fields: str) -> None:
        self.registry.register(replace(model(version, age_s=days * DAY_S), location=version, **fields))  # type: ignore[arg-type]
        self.shelf.times[version] = START - timedelta(days=days)

    def promote(self, version: str) -> None:
        live = self.registry.live()
        generation = 0 if live is None else live.generation
        assert self.registry.assign(
            ModelVersion(version), actor="t", reason="r", override=False, expected_generation=generation
        )

    def hold(self, *versions: str) -> None:
        held = tuple(map(ModelVersion, versions))
        self.fleet.report(ServingWorker("w", "host/1", 1, START, held=held))

    def clean(self, *, dry_run: bool = False, keep_going: Callable[[], bool] = lambda: True) -> ModelsCleaned:
        def in_hand(models: list[Model]) -> set[ModelVersion]:
            return versions_in_hand(self.runs, self.nights, models)

        rules = KeepRules(live_once=2, newest=2, days=3)
        keeper = CleanUp(self.registry, self.shelf, self.fleet, self.trials, self.clock, rules, in_hand)  # type: ignore[arg-type]
        return keeper.clean(keep_going, dry_run=dry_run)

    def left(self) -> set[str]:
        """The versions whose bundles are there."""
        return {location for location in self.shelf.times if location.startswith("v")}

    def rows(self) -> set[str]:
        return {each.version for each in self.registry.everything()}


@pytest.fixture
def stage() -> Stage:
    return Stage()


YOUNG = {"v26", "v27", "v28", "v29"}


def test_only_the_newest_and_the_young_are_kept_where_nothing_else_is_said(stage: Stage) -> None:
    cleaned = stage.clean()
    assert stage.left() == YOUNG
    assert stage.rows() == YOUNG
    assert (len(cleaned.deleted), cleaned.num_rows, cleaned.in_use) == (26, 26, ())
    assert stage.clean() == ModelsCleaned(), "again: there is nothing to do"


def test_the_newest_are_kept_however_old(stage: Stage) -> None:
    """After a month without a night there is still something to start from."""
    stage.clock.advance(60 * DAY_S)
    stage.clean()
    assert stage.left() == {"v28", "v29"}


def test_the_live_version_and_those_before_it_are_kept_with_what_they_started_from(stage: Stage) -> None:
    stage.add("v-parent", 40)
    stage.add("v-champion", 35, parent="v-parent")
    for version in ("v00", "v01", "v-champion"):
        stage.promote(version)
    stage.clean()
    assert stage.left() == {*YOUNG, "v-champion", "v-parent", "v01"}
    assert stage.rows() == {*YOUNG, "v-champion", "v-parent", "v01", "v00"}, "the audit log names v00"
    assert stage.registry.get(ModelVersion("v00")).deleted_time == START
    assert stage.clean() == ModelsCleaned()


def test_what_is_pinned_is_kept_with_what_it_started_from(stage: Stage) -> None:
    stage.add("v-parent", 40)
    stage.add("v-pinned", 35, parent="v-parent")
    stage.registry.pin(ModelVersion("v-pinned"), Pin("ada", "an audit"))
    stage.clean()
    assert stage.left() == {*YOUNG, "v-pinned", "v-parent"}
    stage.registry.pin(ModelVersion("v-pinned"), None)
    stage.clean()
    assert stage.left() == YOUNG


@pytest.mark.parametrize("state", [None, RunState.FAILED, RunState.REFUSED, RunState.SUCCEEDED])
def test_what_a_night_names_is_kept_until_it_ended_well(stage: Stage, state: RunState | None) -> None:
    """By whatever step and in whatever place; a night that failed may be resumed."""
    run = stage.runs.begin(NIGHT, "schedule")
    assert run is not None
    stage.add("v-trained", 20, origin=f"night-{run.run_id}/warm", parent="v05")
    stage.nights.begin(run, "evaluate", {"challengers": ["v03"]})
    stage.nights.end(run, "evaluate", StepState.DONE, outputs={"champion": "v04", "figures": {"v02": {"ndcg": 1}}})
    if state is not None:
        stage.runs.finish(run, state)
    stage.clean()
    kept = set() if state is RunState.SUCCEEDED else {"v02", "v03", "v04", "v05", "v-trained"}
    assert stage.left() == YOUNG | kept


def test_what_is_on_trial_is_kept_and_what_was_is_still_told_of(stage: Stage) -> None:
    def change(number: int, version: str, share: float) -> None:
        first = None if share else number
        assert stage.trials.change(
            TrialKind.CANARY,
            ModelVersion(version),
            share=share,
            actor="t",
            reason="",
            expected_number=number,
            first=first,
        )

    change(0, "v05", 0.1)
    planned = stage.clean(dry_run=True)
    assert stage.clean() == planned
    assert stage.left() == {*YOUNG, "v05"}
    change(1, "v05", 0.0)
    planned = stage.clean(dry_run=True)
    assert stage.clean() == planned
    assert (stage.left(), stage.rows()) == (YOUNG, {*YOUNG, "v05"})
    assert stage.clean() == ModelsCleaned()


def test_what_a_worker_holds_or_gets_ready_waits(stage: Stage) -> None:
    stage.hold("v07", "v29")
    stage.fleet.open(ModelVersion("v08"), 0, START + timedelta(minutes=1))
    assert set(stage.clean().in_use) == {"v07", "v08"}
    assert stage.left() == {*YOUNG, "v07", "v08"}
    assert stage.registry.get(ModelVersion("v07")).deleted_time is None
    stage.fleet.leave("w")
    stage.fleet.close(1)
    assert set(stage.clean().deleted) == {"v07", "v08"}


def test_a_version_that_is_promoted_meanwhile_stays(stage: Stage) -> None:
    """Between the plan and the deed: the registry has the last word."""

    def promote(_: str) -> None:
        if stage.registry.live() is None:
            stage.promote("v00")

    stage.shelf.before_delete = promote
    assert stage.clean().in_use == ("v00",)
    assert "v00" in stage.left()


@pytest.mark.parametrize("victim", ["v10", "left-by-a-crash"])
def test_a_crash_in_the_middle_is_made_up_for(stage: Stage, victim: str) -> None:
    stage.promote("v10")
    for version in ("v11", "v12"):
        stage.promote(version)

    def crash(location: str) -> None:
        if location == victim:
            raise BundleStoreDown("The store does not answer.")

    stage.shelf.before_delete = crash
    with pytest.raises(BundleStoreDown):
        stage.clean()
    assert victim in stage.shelf.times
    stage.shelf.before_delete = lambda _: None
    stage.clean()
    assert stage.left() == {*YOUNG, "v11", "v12"}
    assert stage.rows() == {*YOUNG, "v10", "v11", "v12"}
    assert "left-by-a-crash" not in stage.shelf.times


def test_a_bundle_that_no_row_knows_goes_after_a_day(stage: Stage) -> None:
    cleaned = stage.clean()
    assert cleaned.unknown == ("left-by-a-crash",)
    assert "published-just-now" in stage.shelf.times, "it is registered in a moment"
    stage.hold("published-just-now")
    stage.clock.advance(2 * DAY_S)
    assert stage.clean().unknown == ()
    stage.fleet.leave("w")
    assert stage.clean().unknown == ("published-just-now",)


def test_a_store_that_looks_like_anothers_is_left_alone(stage: Stage) -> None:
    """As with a new, empty catalog database beside the old bundles: nothing is swept away."""
    stage.registry = FakeModelRegistry(stage.clock)
    before = dict(stage.shelf.times)
    stage.clock.advance(90 * DAY_S)
    cleaned = stage.clean()
    assert stage.shelf.times == before
    assert cleaned.num_strange == len(before)
    assert "is this the store of this catalog database?" in cleaned.sentences[0]


@pytest.mark.parametrize("what", ["everything", "assignments"])
def test_nothing_is_deleted_when_the_registry_cannot_be_read(
    stage: Stage, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise CatalogDown("The database does not answer.")

    before = dict(stage.shelf.times)
    monkeypatch.setattr(stage.registry, what, down)
    with pytest.raises(CatalogDown):
        stage.clean()
    assert stage.shelf.times == before


def test_a_dry_run_says_the_same_and_deletes_nothing(stage: Stage) -> None:
    stage.hold("v07")
    for version in ("v00", "v01", "v02"):
        stage.promote(version)
    before, rows = dict(stage.shelf.times), stage.rows()
    planned = stage.clean(dry_run=True)
    assert (stage.shelf.times, stage.rows()) == (before, rows)
    assert all(each.deleted_time is None for each in stage.registry.everything())
    assert stage.clean() == planned
    assert planned.sentences == (
        "bundles of 23 models deleted",
        "22 models forgotten that were never live",
        "1 old models kept while they are in use",
        "1 bundles deleted that nobody had registered",
    )


def test_it_ends_when_it_is_told_to(stage: Stage) -> None:
    asked = iter([True, True])
    cleaned = stage.clean(keep_going=lambda: next(asked, False))
    assert len(cleaned.deleted) == 2
    assert cleaned.unknown == ()
