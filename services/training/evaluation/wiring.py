"""Puts an evaluation together: a folder and settings in, figures out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from services.adapters.evaluation_folder import read_folder
from services.training.evaluation.asked import Asked
from services.training.evaluation.history_length import fitting_length
from services.training.evaluation.protocol_figures import figures_of
from services.training.evaluation.protocols import Protocol
from services.training.model import EpochReport
from services.training.wiring import make_model

Say = Callable[[Mapping[str, Any]], object]
"""Is told of every stage and epoch, as the JSON lines of `python -m services.training.evaluation` show them."""


def evaluate(asked: Asked, say: Say) -> dict[str, Any]:
    """The figures as they are shown; raises BadData, NotEnoughData, TrainingFailed."""

    def stage(name: str) -> None:
        say({"event": "stage", "name": name})

    def epoch(report: EpochReport) -> None:
        say({"event": "epoch", **asdict(report)})

    stage("read")
    data = read_folder(asked.folder)
    train = asked.train.model_copy(update={"max_history": asked.max_history or fitting_length(data)})
    figures = figures_of(
        data, Protocol(asked.protocol), make_model(train), train.max_history, epoch, stage, seed=train.seed
    )
    return {
        "protocol": asked.protocol,
        "model": train.kind,
        "seed": train.seed,
        "max_history": train.max_history,
        **asdict(figures),
    }
