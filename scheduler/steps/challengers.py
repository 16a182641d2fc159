"""The challengers: each trained on the pinned data, then all judged with the champion on the same held-out events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scheduler.chain import Outputs, StepFailed, Work
from scheduler.children import Children, Task
from scheduler.facts import EVALUATE, PLAN, TRAIN, Facts
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.ports import ModelRegistry


@dataclass(frozen=True)
class Train:
    """Trains one challenger. What came of it says the registry, whatever machine it was trained on.

    A training of this origin that is registered already, by an attempt whose scheduler died, is not done again.
    """

    challenger: str
    launcher: Children
    registry: ModelRegistry
    timeout_s: float
    may_fail: bool = True

    @property
    def name(self) -> str:
        return TRAIN + self.challenger

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"data_version": facts.data_version, "origin": self.origin(facts), "challenger": self.challenger}

    def origin(self, facts: Facts) -> str:
        return origin_of(facts, self.challenger)

    def run(self, work: Work) -> Outputs:
        origin = self.origin(work.facts)

        def registered() -> Model | None:
            return work.patience.outlast(lambda: self.registry.by_origin(origin))

        model = registered()
        if model is None:
            self.launcher.run(training_task(work.facts, self.challenger), work)
            model = registered()
        if model is None:
            raise StepFailed(f"Training ended well, but registered no model of the origin {origin}.")
        return {"version": model.version, "kind": model.kind}


def origin_of(facts: Facts, challenger: str) -> str:
    """Whose work a training is."""
    return f"night-{facts.run_id}/{challenger}"


def training_task(facts: Facts, challenger: str) -> Task:
    """The same whatever launcher runs it."""
    return Task(
        "services.training",
        (
            *("--trigger", "nightly"),
            *("--challenger", challenger),
            *("--data-version", str(facts.data_version)),
            *("--origin", origin_of(facts, challenger)),
        ),
    )


@dataclass(frozen=True)
class Evaluate:
    """Champion and challengers on the same last part in time; see `services.training.judging`."""

    children: Children
    registry: ModelRegistry
    folder: Path
    """Where the whole judgement is kept, a folder a night."""
    timeout_s: float
    name: str = EVALUATE
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"data_version": facts.data_version, "challengers": list(facts.trained.values())}

    def run(self, work: Work) -> Outputs:
        challengers = list(work.facts.trained.values())
        if not challengers:
            raise StepFailed("No challenger was trained; their steps say why.", retry=False)
        live = work.patience.outlast(self.registry.live)
        out = self.folder / str(work.run.run_id) / "judging.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        champion = None if live is None else live.version
        said = self.children.run(judging_task(work.facts.data_version, challengers, champion, out), work)
        found = {name: value for name, value in said.items() if name not in ("event", "champion")}
        return {
            **found,
            "compared_with": said.get("champion"),
            "champion": champion,
            "generation": 0 if live is None else live.generation,
            "file": str(out),
        }


def judging_task(
    data_version: int, challengers: Sequence[ModelVersion], champion: ModelVersion | None, out: Path
) -> Task:
    """Ranks the newest part of that version of the log with each; the whole judgement goes to the file `out`."""
    beside = () if champion is None else ("--champion", champion)
    return Task(
        "services.training.judging",
        (
            *("--data-version", str(data_version)),
            *beside,
            *("--challengers", *challengers),
            *("--out", str(out)),
        ),
    )


@dataclass(frozen=True)
class Plan:
    """What serving each challenger costs, and whether its index finds the best; see `services.inference.planning`."""

    children: Children
    timeout_s: float
    name: str = PLAN
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"challengers": list(facts.trained.values())}

    def run(self, work: Work) -> Outputs:
        said = self.children.run(planning_task(list(work.facts.trained.values())), work)
        return {"plan": said["plan"], "figures": said["figures"], "found": said["plan"]}


def planning_task(versions: Sequence[ModelVersion]) -> Task:
    return Task("services.inference.planning", versions)
