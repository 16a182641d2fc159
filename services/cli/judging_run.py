"""What the gate asks of a model that was trained by hand: the figures a night takes of its challengers, in children."""

from collections.abc import Mapping
from typing import Any

from deploy.embedded.services import environment
from scheduler.children import Task, python_command
from scheduler.steps.challengers import judging_task, planning_task
from services.cli.child_run import last_line
from services.domain.errors import NightjarError, TrainingFailed
from services.domain.models import Model
from services.domain.ports import ModelRegistry
from services.registry.gate import measured
from services.settings import Settings


def figures_beside_champion(settings: Settings, registry: ModelRegistry, model: Model) -> Mapping[str, float]:
    """The model's figures beside the live model's, on the same held-out events, and what serving it costs; blocks.

    Only its own figures where nothing is live. Raises TrainingFailed, and then nothing has changed.
    """
    live = registry.live()
    champion = None if live is None or live.version == model.version else live.version
    out = settings.home_folder / "run" / "judging.json"
    judged = _run(settings, judging_task(model.data_version, [model.version], champion, out))
    return measured(model.version, judged, _run(settings, planning_task([model.version])))


def _run(settings: Settings, task: Task) -> Mapping[str, Any]:
    """The last line that the task says; its log is that of the training."""
    try:
        return last_line(
            settings,
            "training",
            task.module,
            python_command(task),
            lambda _: None,
            errors=(),
            environment=environment(settings),
        )
    except NightjarError as error:
        raise TrainingFailed(f"The model was trained, but could not be judged: {error}") from error
