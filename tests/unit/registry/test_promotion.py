"""What promotion promises: nothing ungated goes live, races are lost gracefully, and the audit log tells it all."""

import pytest

from services.domain.errors import CatalogDown, GateNotPassed, InvalidRequest, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Verdict
from services.registry.gate import GateRules
from services.registry.promotion import gate_and_promote, promote
from tests.fakes.model_registry import PASSED, REFUSED, FakeModelRegistry, model
from tests.fakes.notice import BrokenNotice, RecordingNotice

A, B = ModelVersion("a"), ModelVersion("b")


@pytest.fixture
def registry() -> FakeModelRegistry:
    registry = FakeModelRegistry()
    registry.register(model("a", verdict=PASSED))
    registry.register(model("b", verdict=PASSED))
    return registry


@pytest.fixture
def notice() -> RecordingNotice:
    return RecordingNotice()


def test_a_passed_version_goes_live_and_serving_is_told(registry: FakeModelRegistry, notice: RecordingNotice) -> None:
    assigned = promote(registry, notice, A, "ada")
    assert registry.live() == assigned
    assert (assigned.version, assigned.generation, assigned.actor, assigned.override) == (A, 1, "ada", False)
    assert notice.generations == [1]


def test_promoting_the_live_version_again_changes_nothing(registry: FakeModelRegistry, notice: RecordingNotice) -> None:
    first = promote(registry, notice, A, "ada")
    assert promote(registry, notice, A, "bob") == first
    assert len(registry.assignments(10)) == 1
    assert notice.generations == [1]


@pytest.mark.parametrize("verdict", [None, REFUSED, Verdict(())])
def test_nothing_ungated_goes_live(
    registry: FakeModelRegistry, notice: RecordingNotice, verdict: Verdict | None
) -> None:
    registry.register(model("c", verdict=verdict))
    with pytest.raises(GateNotPassed, match="c may not serve"):
        promote(registry, notice, ModelVersion("c"), "ada", "   ")
    assert registry.live() is None
    assert notice.generations == []


def test_the_refusal_says_which_rule_was_broken(registry: FakeModelRegistry, notice: RecordingNotice) -> None:
    registry.register(model("c", verdict=REFUSED))
    with pytest.raises(GateNotPassed, match=REFUSED.findings[0].sentence):
        promote(registry, notice, ModelVersion("c"), "ada")


def test_an_override_is_recorded_as_one_with_its_reason(registry: FakeModelRegistry, notice: RecordingNotice) -> None:
    registry.register(model("c", verdict=REFUSED))
    assigned = promote(registry, notice, ModelVersion("c"), "ada", " the holdout was broken ")
    assert assigned.override
    assert assigned.reason == "the holdout was broken"


def test_a_reason_given_for_a_passed_version_is_no_override(
    registry: FakeModelRegistry, notice: RecordingNotice
) -> None:
    assert not promote(registry, notice, A, "ada", "to be sure").override


def test_unknown_versions_are_refused(registry: FakeModelRegistry, notice: RecordingNotice) -> None:
    with pytest.raises(UnknownVersion):
        promote(registry, notice, ModelVersion("nowhere"), "ada", "please")


@pytest.mark.parametrize(("actor", "reason"), [("", ""), ("a" * 257, ""), ("ada", "x" * 1_025), ("ada", "a\0b")])
def test_bad_words_for_the_audit_log_are_refused(
    registry: FakeModelRegistry, notice: RecordingNotice, actor: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        promote(registry, notice, A, actor, reason)
    assert caught.value.field == ("override_reason" if reason else "actor")
    assert registry.live() is None


def test_a_lost_race_is_run_again_on_the_new_generation(registry: FakeModelRegistry, notice: RecordingNotice) -> None:
    """Another operator's promotion in between costs a retry, not an error, and both stand in the audit log."""

    def other_wins() -> None:
        registry.before_assign = lambda: None
        registry.assign(B, actor="bob", reason="", override=False, expected_generation=0)

    registry.before_assign = other_wins
    assert promote(registry, notice, A, "ada").generation == 2
    assert [each.actor for each in registry.assignments(10)] == ["ada", "bob"]


def test_losing_the_race_to_the_same_version_is_a_win(registry: FakeModelRegistry, notice: RecordingNotice) -> None:
    def other_wins() -> None:
        registry.before_assign = lambda: None
        registry.assign(A, actor="bob", reason="", override=False, expected_generation=0)

    registry.before_assign = other_wins
    assert promote(registry, notice, A, "ada").actor == "bob"
    assert len(registry.assignments(10)) == 1


def test_endless_races_end_in_an_error_that_can_be_retried(
    registry: FakeModelRegistry, notice: RecordingNotice
) -> None:
    def other_always_wins() -> None:
        again, registry.before_assign = registry.before_assign, lambda: None
        registry.assign(B, actor="bob", reason="", override=False, expected_generation=len(registry.assignments(100)))
        registry.before_assign = again

    registry.before_assign = other_always_wins
    with pytest.raises(CatalogDown) as caught:
        promote(registry, notice, A, "ada")
    assert caught.value.retryable
    assert notice.generations == []


def test_a_notice_that_fails_does_not_fail_the_promotion(registry: FakeModelRegistry) -> None:
    assert registry.live() is None
    assert promote(registry, BrokenNotice(), A, "ada") == registry.live()


def test_gate_and_promote_stores_the_verdict_and_promotes_what_passed(
    registry: FakeModelRegistry, notice: RecordingNotice
) -> None:
    registry.register(
        model(
            "c",
            ndcg_gain_at_10_low=0.02,
            coverage_at_10=0.5,
            gini_at_10=0.9,
            num_bad_vectors=0.0,
            num_holdout_users=80.0,
        )
    )
    verdict = gate_and_promote(registry, notice, ModelVersion("c"), GateRules(), "scheduler")
    assert verdict.passed
    assert registry.get(ModelVersion("c")).verdict == verdict
    live = registry.live()
    assert live is not None
    assert (live.version, live.actor) == ("c", "scheduler")


def test_gate_and_promote_leaves_the_champion_when_the_challenger_is_refused(
    registry: FakeModelRegistry, notice: RecordingNotice
) -> None:
    champion = promote(registry, notice, A, "ada")
    registry.register(
        model(
            "c",
            ndcg_gain_at_10_low=-0.02,
            coverage_at_10=0.5,
            gini_at_10=0.9,
            num_bad_vectors=0.0,
            num_holdout_users=80.0,
        )
    )
    verdict = gate_and_promote(registry, notice, ModelVersion("c"), GateRules(), "scheduler")
    assert not verdict.passed
    assert registry.get(ModelVersion("c")).verdict == verdict
    assert registry.live() == champion
