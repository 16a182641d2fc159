"""Puts an evaluation together: a folder and settings in, figures out."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from services.adapters.evaluation_folder import read_folder
from services.domain.evaluation_data import EvaluationData
from services.settings import TrainSettings
from services.training.configured import configured_model
from services.training.evaluation.asked import Asked
from services.training.evaluation.history_length import fitting_length
from services.training.evaluation.protocol_figures import OnEpoch, figures_of
from services.training.evaluation.protocols import Protocol
from services.training.evaluation.replay import Answered, Replay
from services.training.evaluation.replay_figures import day_figures, replay_figures
from services.training.model import EpochReport

Say = Callable[[Mapping[str, Any]], object]
"""Is told of every stage, epoch and replayed day; `python -m services.training.evaluation` says it as JSON lines."""


def evaluate(asked: Asked, say: Say) -> dict[str, Any]:
    """The figures as they are shown; raises BadData, NotEnoughData, TrainingFailed."""
    say({"event": "stage", "name": "read"})
    data = read_folder(asked.folder)
    ordered = configured_model(asked.train).capabilities.ordered
    train = asked.train.model_copy(update={"max_history": asked.max_history or fitting_length(data, ordered=ordered)})
    run = _table if asked.replay_days == 0 else _replay
    return {
        "protocol": asked.protocol,
        "model": train.kind,
        "seed": train.seed,
        "max_history": train.max_history,
        **run(asked, train, data, say),
    }


def _table(asked: Asked, train: TrainSettings, data: EvaluationData, say: Say) -> Mapping[str, Any]:
    def stage(name: str) -> None:
        say({"event": "stage", "name": name})

    protocol, model = Protocol(asked.protocol), configured_model(train)
    return asdict(figures_of(data, protocol, model, train.max_history, _epochs(say), stage, seed=train.seed))


def _replay(asked: Asked, train: TrainSettings, data: EvaluationData, say: Say) -> Mapping[str, Any]:
    def day(number: int, answered: Answered | None) -> None:
        figures = {} if answered is None else day_figures(answered)
        say({"event": "day", "number": number, "num_days": asked.replay_days, **figures})

    say({"event": "stage", "name": "replay"})
    full_every = {"full": 0.0, "incremental": math.inf, "auto": train.full_every_days}[asked.mode]
    replay = Replay(
        lambda: configured_model(train), train.max_history, _epochs(say), day, full_every, asked.beside_full
    )
    return {"mode": asked.mode, **replay_figures(replay.run(data, asked.replay_days), train.seed)}


def _epochs(say: Say) -> OnEpoch:
    def epoch(report: EpochReport) -> None:
        say({"event": "epoch", **asdict(report)})

    return epoch
