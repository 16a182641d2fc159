"""The report of a night, as a page to read: `report.md` in the night's folder."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scheduler import telling
from scheduler.chain import Outputs, Work
from scheduler.facts import REPORT, Facts
from services.domain.models import Model
from services.domain.nights import StepRow
from services.domain.ports import ModelRegistry
from services.domain.runs import RunState

FILE: Final = "report.md"
NIGHTS_KEPT: Final = 100  # larger: judgements of large shops fill the disk; smaller: last month cannot be read


@dataclass(frozen=True)
class Report:
    """Written however the night ended; done again, it is written over."""

    state: RunState
    detail: str
    rows: Callable[[int], Sequence[StepRow]]
    registry: ModelRegistry
    folder: Path
    timeout_s: float
    name: str = REPORT
    may_fail: bool = False

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        del facts
        return {"state": self.state.value}

    def run(self, work: Work) -> Outputs:
        def models() -> list[Model]:
            return [self.registry.get(version) for version in work.facts.trained.values()]

        rows = work.patience.outlast(lambda: self.rows(work.run.run_id))
        told = telling.night(work.run, self.state, self.detail, rows, work.facts, work.patience.outlast(models))
        path = self.folder / str(work.run.run_id) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(told, encoding="utf-8")
        draft.replace(path)
        _forget_old(self.folder)
        return {"file": str(path)}


def _forget_old(folder: Path) -> None:
    """Law 9: the folders of all but the newest nights go."""
    nights = sorted((each for each in folder.iterdir() if each.name.isdecimal()), key=lambda each: int(each.name))
    for each in nights[:-NIGHTS_KEPT]:
        shutil.rmtree(each, ignore_errors=True)
