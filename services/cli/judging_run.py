"""What the gate asks of a model that was trained by hand: the figures a night takes of its challengers, in children."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploy.embedded.services import environment, log_of
from services.children.speaking import run_speaking
from services.domain.errors import TrainingFailed
from services.domain.models import Model
from services.domain.ports import ModelRegistry
from services.registry.gate import SAW_HOLDOUT
from services.settings import Settings

JUDGING: Final = "services.training.judging"
PLANNING: Final = "services.inference.planning"


def figures_beside_champion(settings: Settings, registry: ModelRegistry, model: Model) -> Mapping[str, float]:
    """The model's figures beside the live model's, on the same held-out events, and what serving it costs; blocks.

    Only its own figures where nothing is live. Raises TrainingFailed, and then nothing has changed.
    """
    live = registry.live()
    champion = () if live is None or live.version == model.version else ("--champion", live.version)
    out = settings.home_folder / "run" / "judging.json"
    judged = _run(
        settings,
        JUDGING,
        (
            *("--data-version", str(model.data_version), "--challengers", model.version),
            *champion,
            *("--out", str(out)),
        ),
    )
    planned = _run(settings, PLANNING, (model.version,))
    return {
        **judged["figures"][model.version],
        **planned["figures"][model.version],
        SAW_HOLDOUT: float(judged[SAW_HOLDOUT]),
    }


def _run(settings: Settings, module: str, arguments: Sequence[str]) -> Mapping[str, Any]:
    """The last line that the module says; its log is that of the training."""
    log_path = log_of(settings, "training")
    with log_path.open("ab") as log:
        command = [sys.executable, "-m", module, *arguments]
        end = run_speaking(command, lambda _: None, log=log, environment=environment(settings))
    if end.status == 0 and end.last_line.get("event") == "done":
        return end.last_line
    problem = end.last_line.get("message", f"{module} {end.sentence_end}; its log is {log_path}.")
    raise TrainingFailed(f"The model was trained, but could not be judged: {problem}")
