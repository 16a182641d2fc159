"""A training run as a child process, listened to line by line and never left behind; no screen here."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from deploy.embedded.services import environment
from services.cli.child_run import flags, last_line
from services.domain.errors import CatalogDown, MissingDependency, NotEnoughData, StartFailed
from services.domain.ids import ModelVersion
from services.domain.training_runs import seconds_left
from services.settings import Settings

TRAINING: Final = (sys.executable, "-m", "services.training", "--trigger", "manual")
STAGES: Final[Mapping[str, str]] = {
    "read": "reading the log",
    "fit": "fitting",
    "evaluate": "measuring on the holdout",
    "export": "exporting",
    "plan": "measuring ways to serve it",
    "publish": "publishing",
}
_ERRORS: Final = (NotEnoughData, CatalogDown, MissingDependency, StartFailed)


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """How far a run is. The figures are those of the last epoch; epoch 0: none has ended yet."""

    stage: str = "read"
    epoch: int = 0
    max_epochs: int = 0
    loss: float = 0.0
    valid_ndcg_at_10: float = 0.0
    examples_per_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until fitting ends at the latest; None while unknown."""
        return seconds_left(self.epoch, self.max_epochs, self.elapsed_s)

    @property
    def sentence(self) -> str:
        """For a screen of one line."""
        doing = STAGES.get(self.stage, self.stage)
        if self.stage != "fit" or not self.epoch:
            return doing
        return (
            f"{doing}: epoch {self.epoch} of {self.max_epochs}, loss {self.loss:.3f}, "
            f"validation NDCG@10 {self.valid_ndcg_at_10:.4f}, {self.examples_per_s:,.0f} events/s, "
            f"at most {self.left_s or 0:.0f} s left"
        )


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """What a run registered; `wall_s` counts from the process's start to its end."""

    version: ModelVersion
    metrics: Mapping[str, float]
    wall_s: float


def run_training(
    settings: Settings,
    on_progress: Callable[[TrainingProgress], object],
    as_of: str = "",
    command: Sequence[str] = TRAINING,
) -> TrainingOutcome:
    """Trains with exactly these settings and blocks until the model is registered; its log is `logs/training.log`.

    Raises what the run failed of: NotEnoughData, CatalogDown, MissingDependency, StartFailed, or TrainingFailed.
    Whatever ends it, Ctrl-C included, the child is gone before this returns.
    """
    started, progress = time.monotonic(), _Progress(on_progress)
    last = last_line(
        settings,
        "training",
        "The training process",
        [*command, *flags({"--as-of": as_of or None})],
        progress.note,
        errors=_ERRORS,
        environment=environment(settings),
    )
    return TrainingOutcome(ModelVersion(last["version"]), last["metrics"], time.monotonic() - started)


def look_at_repetition(settings: Settings, version: ModelVersion, *, any_code: bool) -> None:
    """Raises what would keep `version` from being trained again, as `run_training` does; trains nothing. Blocks."""
    more = ("--any-code",) if any_code else ()
    last_line(
        settings,
        "training",
        "The training process",
        [*TRAINING, "--repeat", version, "--dry-run", *more],
        lambda _: None,
        errors=_ERRORS,
        environment=environment(settings),
    )


class _Progress:
    """Turns what the child says into how far it is; what is no progress is passed over."""

    def __init__(self, on_progress: Callable[[TrainingProgress], object]) -> None:
        self._on_progress = on_progress
        on_progress(TrainingProgress())

    def note(self, said: Mapping[str, Any]) -> None:
        if said.get("event") == "stage":
            self._on_progress(TrainingProgress(stage=said["name"]))
        elif said.get("event") == "epoch":
            figures = {name: value for name, value in said.items() if name != "event"}
            self._on_progress(TrainingProgress("fit", **figures))
