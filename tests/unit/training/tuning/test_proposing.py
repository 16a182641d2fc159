"""Stored trials in Optuna's words and back: whatever their state, and whatever the bounds were then."""

from collections.abc import Sequence
from datetime import timedelta

from services.domain.tuning import Trial, TrialState, TunedSettings
from services.training.tuning.proposing import propose
from services.training.tuning.space import Between, OneOf, Space
from tests.fakes.clock import START

SPACE: Space = {
    "rate": Between(1e-4, 1e-2, log=True), "blocks": Between(1, 3, whole=True), "days": OneOf((3.0, 7.0, None)),
}  # fmt: skip
PRESENT: TunedSettings = {"rate": 0.001, "blocks": 1, "days": 7.0}


def trial(number: int, state: TrialState, settings: TunedSettings, ndcgs: Sequence[float] = ()) -> Trial:
    ndcg = 0.1 if state is TrialState.COMPLETE else None
    return Trial("shop", number, settings, "host:1", START, START + timedelta(1), state, ndcg, tuple(ndcgs))


def test_proposals_keep_to_the_bounds_and_have_few_digits() -> None:
    trials: list[Trial] = []
    for number in range(40):
        settings = propose(SPACE, PRESENT, trials, seed=1).settings
        assert all(bounds.holds(settings[name]) for name, bounds in SPACE.items())
        assert isinstance(settings["blocks"], int)
        assert len(f"{settings['rate']!r}".replace("0", "").replace(".", "").partition("e")[0]) <= 4
        trials.append(trial(number, TrialState.COMPLETE, settings))
    assert {each.settings["days"] for each in trials} == {3.0, 7.0, None}


def test_trials_of_every_state_can_be_learned_from() -> None:
    other = {**PRESENT, "blocks": 2}
    trials = [trial(0, TrialState.COMPLETE, PRESENT, [0.05, 0.1])]
    trials += [trial(number, state, other, [0.1]) for number, state in enumerate(TrialState, start=1)]
    trials += [trial(number, TrialState.PRUNED, other) for number in range(len(trials), 12)]
    assert propose(SPACE, PRESENT, trials, seed=1).settings.keys() == SPACE.keys()


def test_settings_that_the_bounds_do_not_hold_are_no_obstacle() -> None:
    """The present rate is off, and earlier trials were of a wider table."""
    present = {**PRESENT, "rate": 0.0}
    trials = [trial(0, TrialState.COMPLETE, present)]
    trials += [trial(number, TrialState.COMPLETE, {"rate": 5.0, "blocks": 9, "gone": 1}) for number in range(1, 12)]
    assert propose(SPACE, present, trials, seed=1).settings.keys() == SPACE.keys()


def test_present_settings_that_were_lost_come_first_again() -> None:
    lost = [trial(0, TrialState.LOST, PRESENT), trial(1, TrialState.COMPLETE, {**PRESENT, "blocks": 3})]
    assert propose(SPACE, PRESENT, lost, seed=1).settings == PRESENT
    assert propose(SPACE, PRESENT, [trial(0, TrialState.FAILED, PRESENT)], seed=1).settings != PRESENT
