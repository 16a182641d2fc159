"""What trials promise: nothing ungated answers anybody, one of each kind at most, and the audit log tells it all."""

from pathlib import Path

import pytest

from services.domain.errors import (
    BundleBroken,
    BundleDeleted,
    CatalogDown,
    GateNotPassed,
    InvalidRequest,
    TrialUnderWay,
    UnknownVersion,
)
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.domain.trials import ModelTrial, TrialKind
from services.registry.promotion import promote, rollback
from services.registry.trials import ATTEMPTS, end, end_those_of, start
from tests.fakes.model_registry import PASSED, REFUSED, FakeModelRegistry, model
from tests.fakes.notice import RecordingNotice
from tests.fakes.trials import FakeTrials
from tests.unit.registry.test_rollout import Stage

CANARY, SHADOW = TrialKind.CANARY, TrialKind.SHADOW
GOOD, OTHER, BAD = ModelVersion("good"), ModelVersion("other"), ModelVersion("bad")


class Bundles:
    """Where all can be read but what is `broken`."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def publish(self, draft: Path, manifest: object) -> str:
        raise NotImplementedError

    def fetch(self, location: str) -> Path:
        if Path(location).name in self.broken:
            raise BundleBroken(f"{location}/tables.safetensors was cut")
        return Path(location)


class Desk:
    """An operator before a registry where v1 is live."""

    def __init__(self) -> None:
        self.registry = FakeModelRegistry()
        for version, verdict in ((GOOD, PASSED), (OTHER, PASSED), (BAD, REFUSED), (ModelVersion("v1"), PASSED)):
            self.registry.register(model(version, verdict=verdict))
        promote(self.registry, RecordingNotice(), ModelVersion("v1"), "ada")
        self.trials, self.bundles = FakeTrials(self.registry), Bundles()

    def start(
        self, kind: TrialKind, version: str, share: float = 0.25, reason: str = "", *, dry_run: bool = False
    ) -> ModelTrial | None:
        return start(
            self.registry,
            self.trials,
            self.bundles,
            kind,
            ModelVersion(version),
            share=share,
            actor="ada",
            override_reason=reason,
            dry_run=dry_run,
        )

    @property
    def current(self) -> list[tuple[TrialKind, str, float]]:
        return [(each.kind, each.version, each.share) for each in self.trials.current()]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_version_that_passed_may_be_the_canary(desk: Desk) -> None:
    began = desk.start(CANARY, GOOD)
    assert began is not None
    assert (began.version, began.share, began.actor, began.override) == (GOOD, 0.25, "ada", False)
    assert desk.current == [(CANARY, GOOD, 0.25)]


def test_nothing_ungated_answers_anybody(desk: Desk) -> None:
    """Law 4 holds for a canary as for the live model."""
    desk.registry.register(model("new"))
    for version in (BAD, "new"):
        with pytest.raises(GateNotPassed, match=version):
            desk.start(CANARY, version, reason="  ")
    assert desk.current == []


def test_an_override_is_recorded_as_one_with_its_reason(desk: Desk) -> None:
    began = desk.start(CANARY, BAD, reason="we want to know")
    assert began is not None
    assert (began.override, began.reason) == (True, "we want to know")


def test_a_shadow_needs_no_gate(desk: Desk) -> None:
    began = desk.start(SHADOW, BAD, share=1.0)
    assert began is not None
    assert not began.override
    assert desk.current == [(SHADOW, BAD, 1.0)]


def test_of_each_kind_there_is_one_at_most(desk: Desk) -> None:
    for kind in TrialKind:
        desk.start(kind, GOOD)
        with pytest.raises(TrialUnderWay, match=f"good is the {kind}"):
            desk.start(kind, OTHER)
    assert desk.current == [(CANARY, GOOD, 0.25), (SHADOW, GOOD, 0.25)]


def test_starting_it_again_changes_nothing(desk: Desk) -> None:
    assert desk.start(CANARY, GOOD) == desk.start(CANARY, GOOD)
    assert len(desk.trials.changes(10)) == 1


def test_another_share_is_the_same_trial(desk: Desk) -> None:
    """So its users stay as far as they fit."""
    began, wider = desk.start(CANARY, GOOD, 0.1), desk.start(CANARY, GOOD, 0.5)
    assert began is not None
    assert wider is not None
    assert (wider.number, wider.first) == (2, began.number)
    desk.trials.change(CANARY, GOOD, share=0, actor="ada", reason="", expected_number=2, first=1)
    anew = desk.start(CANARY, GOOD, 0.5)
    assert anew is not None
    assert (anew.number, anew.first) == (4, 4)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_is_one(desk: Desk, share: float) -> None:
    with pytest.raises(InvalidRequest, match=r"^share"):
        desk.start(CANARY, GOOD, share)


def test_the_live_version_is_no_trial(desk: Desk) -> None:
    for kind in TrialKind:
        with pytest.raises(InvalidRequest, match="v1 is live already"):
            desk.start(kind, "v1")


def test_what_is_unknown_deleted_or_broken_does_not_begin(desk: Desk) -> None:
    desk.registry.retire(OTHER)
    desk.bundles.broken.add(GOOD)
    for kind in TrialKind:
        with pytest.raises(UnknownVersion):
            desk.start(kind, "nobody")
        with pytest.raises(BundleDeleted):
            desk.start(kind, OTHER)
        with pytest.raises(BundleBroken, match="was cut"):
            desk.start(kind, GOOD)
    assert desk.current == []


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    assert desk.start(CANARY, GOOD, dry_run=True) is None
    with pytest.raises(GateNotPassed):
        desk.start(CANARY, BAD, dry_run=True)
    assert list(desk.trials.changes(10)) == []


def test_it_ends_with_a_line_in_the_audit_log_and_may_be_ended_again(desk: Desk) -> None:
    desk.start(CANARY, BAD, reason="we want to know")
    ended = end(desk.trials, CANARY, "bob", "we know")
    assert ended is not None
    assert (ended.version, ended.actor, ended.reason, ended.share, ended.first) == (BAD, "bob", "we know", 0.0, 1)
    assert end(desk.trials, CANARY, "bob") is None
    assert end(desk.trials, SHADOW, "bob") is None
    assert len(desk.trials.changes(10)) == 2


def test_a_lost_race_is_tried_again_and_ends_no_other_version(desk: Desk) -> None:
    desk.start(CANARY, GOOD)

    def replaced() -> None:
        """Somebody ends it and begins another, just before."""
        desk.trials.before_change = lambda: None
        end(desk.trials, CANARY, "eve")
        desk.start(CANARY, OTHER)

    desk.trials.before_change = replaced
    assert end(desk.trials, CANARY, "bob") is None
    assert desk.current == [(CANARY, OTHER, 0.25)]


def test_a_start_that_lost_a_race_sees_what_is_there_now(desk: Desk) -> None:
    def first() -> None:
        desk.trials.before_change = lambda: None
        desk.start(CANARY, OTHER)

    desk.trials.before_change = first
    with pytest.raises(TrialUnderWay, match="other"):
        desk.start(CANARY, GOOD)


def test_who_loses_every_race_is_told(desk: Desk) -> None:
    def busy() -> None:
        desk.trials.before_change = lambda: None
        desk.start(SHADOW, GOOD, 0.5 if desk.current and desk.current[0][2] < 0.5 else 0.25)
        desk.trials.before_change = busy

    desk.trials.before_change = busy
    with pytest.raises(CatalogDown, match="kept changing"):
        desk.start(CANARY, GOOD)
    assert len(desk.trials.changes(100)) == ATTEMPTS


def test_what_goes_live_is_no_longer_on_trial(desk: Desk) -> None:
    for kind in TrialKind:
        desk.start(kind, GOOD)
    end_those_of(desk.trials, Assignment(2, OTHER, "ada", "", desk.trials.changes(1)[0].change_time))
    assert len(desk.current) == 2
    end_those_of(desk.trials, Assignment(3, GOOD, "ada", "", desk.trials.changes(1)[0].change_time))
    assert desk.current == []
    assert {each.reason for each in desk.trials.changes(2)} == {"live since generation 3"}


def test_promotion_and_rollback_end_the_trials_of_what_they_make_live() -> None:
    stage = Stage(num_workers=0)
    trials = FakeTrials(stage.registry, stage.clock)
    rollout = stage.rollout_with(lambda assigned: end_those_of(trials, assigned))
    for number, version in enumerate(("v2", "v3")):
        trials.change(
            tuple(TrialKind)[number], ModelVersion(version), share=0.5, actor="ada", reason="", expected_number=number
        )
    promote(stage.registry, stage.notice, ModelVersion("v2"), "bob", rollout=rollout)
    assert [each.version for each in trials.current()] == ["v3"]
    trials.change(CANARY, ModelVersion("v1"), share=0.5, actor="ada", reason="", expected_number=3)
    rollback(stage.registry, stage.notice, "bob", rollout=rollout)
    assert [each.version for each in trials.current()] == ["v3"]
    assert trials.changes(1)[0].reason == "live since generation 3"


def test_a_database_that_goes_away_after_a_swap_does_not_fail_it() -> None:
    stage = Stage(num_workers=0)

    def is_down(assigned: Assignment) -> None:
        raise CatalogDown(f"gone after {assigned.generation}")

    assigned = promote(stage.registry, stage.notice, ModelVersion("v2"), "bob", rollout=stage.rollout_with(is_down))
    assert assigned.generation == 2
