"""An evaluation as a child process, listened to line by line and never left behind; no screen here."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.cli.child_run import flags, last_line
from services.domain.errors import BadData, InvalidSettings, MissingDependency, NotEnoughData
from services.settings import Settings

EVALUATION: Final = (sys.executable, "-m", "services.training.evaluation")
_ERRORS: Final = (BadData, NotEnoughData, MissingDependency, InvalidSettings)


@dataclass(frozen=True, slots=True)
class EvaluationAsked:
    """What the command line says; the empty and None leave a thing to the settings."""

    protocol: str
    folder: Path
    kind: str | None = None
    seed: int | None = None
    changes: Sequence[str] = ()
    """FIELD=VALUE each."""
    replay_days: int = 0
    """0: no replay."""
    beside_full: bool = False

    @property
    def arguments(self) -> list[str]:
        """For the child."""
        named = {
            "--protocol": self.protocol,
            "--data": self.folder,
            "--model": self.kind,
            "--seed": self.seed,
            "--replay": self.replay_days or None,
        }
        return [
            *flags(named),
            *(["--beside-full"] if self.beside_full else []),
            *(f"--set={each}" for each in self.changes),
        ]


def run_evaluation(
    settings: Settings,
    asked: EvaluationAsked,
    on_line: Callable[[Mapping[str, Any]], object],
    command: Sequence[str] = EVALUATION,
) -> Mapping[str, Any]:
    """Evaluates and blocks until the figures are there; the child's log is `logs/evaluation.log`.

    on_line gets its stages, epochs and days. The child reads the settings itself, so that what nobody set stays unset.
    Raises what the evaluation failed of: BadData, NotEnoughData, InvalidSettings, MissingDependency, or TrainingFailed.
    """
    called = [*command, *asked.arguments]
    last = last_line(settings, "evaluation", "The evaluation process", called, on_line, errors=_ERRORS)
    figures: Mapping[str, Any] = last["figures"]
    return figures
