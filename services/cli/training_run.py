"""A training run as a child process, listened to line by line and never left behind; no screen here."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Final

from deploy.embedded.processes import kill_group, leashed
from deploy.embedded.services import environment, log_of
from services.domain.errors import CatalogDown, MissingDependency, NightjarError, NotEnoughData, TrainingFailed
from services.domain.ids import ModelVersion
from services.settings import Settings

TRAINING: Final = (sys.executable, "-m", "services.training", "--trigger", "manual")
STOP_TIMEOUT_S: Final = 5.0  # larger: a slow Ctrl-C; smaller: drafts are left in the temporary folder
STAGES: Final[Mapping[str, str]] = {
    "read": "reading the log",
    "fit": "fitting",
    "evaluate": "measuring on the holdout",
    "export": "exporting",
    "publish": "publishing",
}
_ERRORS: Final[Mapping[str, type[NightjarError]]] = {
    kind.reason.value: kind for kind in (NotEnoughData, CatalogDown, MissingDependency)
}


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
        return self.elapsed_s / self.epoch * (self.max_epochs - self.epoch) if self.epoch else None

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

    Raises what the run failed of: NotEnoughData, CatalogDown, MissingDependency, or TrainingFailed. Whatever ends it,
    Ctrl-C included, the child is gone before this returns.
    """
    started = time.monotonic()
    log_path = log_of(settings, "training")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        child = subprocess.Popen(
            leashed([*command, *(("--as-of", as_of) if as_of else ())]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment(settings),
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we end the child
        )
    with _ended_after(child):
        last = _follow(child.stdout, on_progress) if child.stdout else {}
        status = child.wait()
    if status == 0 and last.get("event") == "done":
        return TrainingOutcome(ModelVersion(last["version"]), last["metrics"], time.monotonic() - started)
    if last.get("event") == "failed":
        raise _ERRORS.get(last["reason"], TrainingFailed)(last["message"])
    ended = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    raise TrainingFailed(f"The training process {ended} and said nothing; its log is {log_path}.")


def _follow(lines: IO[str], on_progress: Callable[[TrainingProgress], object]) -> Mapping[str, Any]:
    """Passes progress on until the child closes its output; returns its last line."""
    progress, last = TrainingProgress(), deque[Mapping[str, Any]]([{}], maxlen=1)
    on_progress(progress)
    for said in map(_parsed, lines):
        last.append(said)
        if said.get("event") == "stage":
            progress = TrainingProgress(stage=said["name"])
        elif said.get("event") == "epoch":
            progress = TrainingProgress("fit", **{name: value for name, value in said.items() if name != "event"})
        else:
            continue
        on_progress(progress)
    return last[0]


def _parsed(line: str) -> Mapping[str, Any]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


@contextlib.contextmanager
def _ended_after(child: "subprocess.Popen[str]") -> Iterator[None]:
    try:
        yield
    finally:
        try:
            if child.poll() is None:
                child.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(STOP_TIMEOUT_S)
        finally:  # also when a second Ctrl-C cuts the wait short
            kill_group(child.pid)
            child.wait()
            if child.stdout:
                child.stdout.close()
