"""What to try next, by Optuna: the present settings first, then what the stored trials speak for.

Optuna keeps nothing: its study is filled again from ours for every proposal (ADR 0018).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from services.domain.tuning import Trial, TrialState, TunedSettings, of_settings
from services.training.tuning.space import Between, OneOf, Space, Value, around

STARTUP_TRIALS: Final = 6  # at random. Larger: late to learn from them; smaller: it settles on the first good corner
PRUNING_STARTUP: Final = 4  # complete ones before any is cut off. Larger: bad ones run on; smaller: chance cuts
WARMUP_EPOCHS: Final = 3  # larger: bad trials cost more; smaller: what learns slowly and well is cut off
DIGITS: Final = 4  # of a number that was drawn; larger: noise to paste; smaller: steps that matter

_STATES: Final = {
    TrialState.RUNNING: optuna.trial.TrialState.RUNNING,
    TrialState.COMPLETE: optuna.trial.TrialState.COMPLETE,
    TrialState.PRUNED: optuna.trial.TrialState.PRUNED,
    TrialState.FAILED: optuna.trial.TrialState.FAIL,
}

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Proposal:
    settings: TunedSettings
    asked: optuna.Trial | None = None
    """None for the present settings: what all is compared with is never cut off."""

    def hopeless(self, epoch: int, ndcg: float) -> bool:
        """Whether its best so far is below the median of the others' at this epoch."""
        if self.asked is None:
            return False
        self.asked.report(ndcg, epoch)
        return self.asked.should_prune()


def propose(space: Space, present: TunedSettings, trials: Sequence[Trial], seed: int) -> Proposal:
    """The same for the same trials and seed, whoever asks."""
    if of_settings(trials, present) is None:
        return Proposal(present)
    wide = around(space, present)
    distributions = {name: _distribution(bounds) for name, bounds in wide.items()}
    draw = int(np.random.SeedSequence((seed, len(trials))).generate_state(1)[0])
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, seed=draw, constant_liar=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=PRUNING_STARTUP, n_warmup_steps=WARMUP_EPOCHS),
    )
    study.add_trials(_told(trial, wide, distributions) for trial in trials if trial.state in _STATES)
    asked = study.ask(distributions)
    return Proposal({name: _value(wide[name], asked.params[name]) for name in wide}, asked)


def _told(trial: Trial, space: Space, distributions: dict[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
    """A stored trial in Optuna's words; without the settings that its bounds do not hold, such as "off"."""
    held = [name for name, bounds in space.items() if name in trial.settings and bounds.holds(trial.settings[name])]
    return optuna.trial.create_trial(
        state=_STATES[trial.state],
        value=trial.ndcg_at_10,
        params={name: _parameter(space[name], trial.settings[name]) for name in held},
        distributions={name: distributions[name] for name in held},
        intermediate_values=dict(enumerate(trial.epoch_ndcgs, start=1)),
    )


def _distribution(bounds: Between | OneOf) -> BaseDistribution:
    if isinstance(bounds, OneOf):
        return IntDistribution(0, len(bounds.values) - 1)  # the place among them, so that neighbours stay neighbours
    if bounds.whole:
        return IntDistribution(int(bounds.low), int(bounds.high), log=bounds.log)
    return FloatDistribution(bounds.low, bounds.high, log=bounds.log)


def _parameter(bounds: Between | OneOf, value: Value) -> Any:
    return bounds.values.index(value) if isinstance(bounds, OneOf) else value


def _value(bounds: Between | OneOf, parameter: float) -> Value:
    if isinstance(bounds, OneOf):
        return bounds.values[int(parameter)]
    if bounds.whole:
        return int(parameter)
    return min(max(float(f"{parameter:.{DIGITS}g}"), bounds.low), bounds.high)
