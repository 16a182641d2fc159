"""What rollback promises: it walks back through what served, like undo, and never to what may not serve."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import InvalidRequest, NothingToRollBack
from services.domain.ids import ModelVersion
from services.registry.promotion import promote, rollback
from tests.fakes.model_registry import PASSED, REFUSED, FakeModelRegistry, model
from tests.fakes.notice import BrokenNotice, RecordingNotice


class Desk:
    """An operator's desk: a registry with passed versions, and the two commands."""

    def __init__(self, versions: str) -> None:
        self.registry = FakeModelRegistry()
        self.notice = RecordingNotice()
        for version in sorted(set(versions)):
            self.registry.register(model(version, verdict=PASSED))

    def promote(self, *versions: str) -> None:
        for version in versions:
            promote(self.registry, self.notice, ModelVersion(version), "ada")

    def roll_back(self) -> str:
        return rollback(self.registry, self.notice, "ada").version


def test_a_rollback_brings_back_what_served_before_and_records_it() -> None:
    desk = Desk("ab")
    desk.promote("a", "b")
    assigned = rollback(desk.registry, desk.notice, "bob", "clicks fell")
    assert (assigned.version, assigned.generation, assigned.restores) == ("a", 3, 1)
    assert (assigned.actor, assigned.reason) == ("bob", "clicks fell")
    assert desk.registry.live() == assigned
    assert desk.notice.generations == [1, 2, 3]


def test_two_rollbacks_in_a_row_go_two_versions_back() -> None:
    desk = Desk("abc")
    desk.promote("a", "b", "c")
    assert [desk.roll_back(), desk.roll_back()] == ["b", "a"]
    with pytest.raises(NothingToRollBack):
        desk.roll_back()


def test_after_a_rollback_a_new_promotion_goes_back_to_what_it_replaced() -> None:
    """Not to the version that was rolled back before: that one was unwanted."""
    desk = Desk("abcd")
    desk.promote("a", "b", "c")
    assert desk.roll_back() == "b"
    desk.promote("d")
    assert [desk.roll_back(), desk.roll_back()] == ["b", "a"]


def test_promoting_an_old_version_again_is_a_promotion_not_a_rollback() -> None:
    desk = Desk("ab")
    desk.promote("a", "b", "a")
    assert [desk.roll_back(), desk.roll_back()] == ["b", "a"]


def test_promoting_again_what_was_rolled_back_can_be_rolled_back_too() -> None:
    desk = Desk("ab")
    desk.promote("a", "b")
    assert desk.roll_back() == "a"
    desk.promote("b")
    assert desk.roll_back() == "a"


def test_versions_refused_since_are_passed_over() -> None:
    desk = Desk("abc")
    desk.promote("a", "b", "c")
    desk.registry.judge(ModelVersion("b"), REFUSED)
    assert desk.roll_back() == "a"


def test_a_version_that_served_by_override_may_come_back_and_still_says_so() -> None:
    desk = Desk("b")
    desk.registry.register(model("a", verdict=REFUSED))
    promote(desk.registry, desk.notice, ModelVersion("a"), "ada", "we know better")
    desk.promote("b")
    assigned = rollback(desk.registry, desk.notice, "ada")
    assert (assigned.version, assigned.override) == ("a", True)


@pytest.mark.parametrize("versions", ["", "a", "ab"])
def test_with_nothing_to_go_back_to_nothing_changes(versions: str) -> None:
    desk = Desk(versions)
    desk.promote(*versions)
    if versions == "ab":
        desk.registry.judge(ModelVersion("a"), REFUSED)
    before = desk.registry.live()
    with pytest.raises(NothingToRollBack):
        desk.roll_back()
    assert desk.registry.live() == before


def test_somebody_elses_change_in_between_is_not_taken_back() -> None:
    """Two operators take back the same bad version: it goes one version back, not two."""
    desk = Desk("abc")
    desk.promote("a", "b", "c")

    def other_wins() -> None:
        desk.registry.before_assign = lambda: None
        rollback(desk.registry, desk.notice, "bob")

    desk.registry.before_assign = other_wins
    assigned = rollback(desk.registry, desk.notice, "ada")
    assert (assigned.version, assigned.actor, assigned.generation) == ("b", "bob", 4)
    assert desk.registry.live() == assigned


def test_a_notice_that_fails_does_not_fail_the_rollback() -> None:
    desk = Desk("ab")
    desk.promote("a", "b")
    assert rollback(desk.registry, BrokenNotice(), "ada").version == "a"


def test_who_rolls_back_must_be_named() -> None:
    desk = Desk("ab")
    desk.promote("a", "b")
    with pytest.raises(InvalidRequest, match="actor"):
        rollback(desk.registry, desk.notice, "")


@given(st.lists(st.sampled_from("abcd<"), max_size=30))
def test_any_sequence_behaves_like_an_undo_stack(actions: list[str]) -> None:
    """`<` is a rollback. The model: promotions push, a rollback pops down to the next other version."""
    desk, stack = Desk("abcd"), list[str]()
    for action in actions:
        if action != "<":
            desk.promote(action)
            if stack[-1:] != [action]:
                stack.append(action)
        elif len(stack) > 1:
            stack.pop()
            assert desk.roll_back() == stack[-1]
        else:
            with pytest.raises(NothingToRollBack):
                desk.roll_back()
    live = desk.registry.live()
    assert ([] if live is None else [live.version]) == stack[-1:]
