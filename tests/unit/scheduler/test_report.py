"""The report of a night: a page for people, and no more of them than are read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scheduler.chain import Work
from scheduler.facts import CHECK, EVALUATE, PIN, SWAP, TRAIN, Facts
from scheduler.steps import report
from scheduler.steps.report import Report
from services.domain.nights import StepRow, StepState
from services.domain.runs import Run, RunState
from services.patience import Patience
from tests.fakes.clock import START, FakeClock
from tests.fakes.model_registry import PASSED, FakeModelRegistry, model

FIGURES = {
    "ndcg_at_10": 0.12,
    "champion_ndcg_at_10": 0.11,
    "ndcg_vs_champion_at_10": 0.01,
    "ndcg_vs_champion_at_10_low": 0.005,
    "ndcg_vs_champion_at_10_high": 0.015,
}
OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    PIN: {"data_version": 7, "num_events": 12_345},
    TRAIN + "warm": {"version": "new"},
    CHECK: {"passed": True, "findings": [{"rule": "users", "figure": 7, "passed": True, "sentence": "7 users."}]},
    EVALUATE: {"champion": "old", "compared_with": "old", "num_questions": 1_234, "figures": {"new": FIGURES}},
    SWAP: {"version": "new", "generation": 3},
}


def _write(folder: Path, run_id: int = 12, outputs: Mapping[str, Mapping[str, Any]] = OUTPUTS) -> str:
    """The page of a night that did these steps."""
    registry = FakeModelRegistry()
    registry.register(model("new", verdict=PASSED))
    rows = [StepRow(run_id, name, StepState.DONE, 1, START, START, {}, found) for name, found in outputs.items()]
    work = Work(
        run=Run(run_id, "night", "schedule", START, RunState.RUNNING),
        facts=Facts(run_id, outputs),
        keep_going=lambda: True,
        is_ours=lambda: True,
        note=lambda _: None,
        patience=Patience(FakeClock(), lambda _: False),
        timeout_s=60.0,
    )
    step = Report(RunState.SUCCEEDED, "It is live.", lambda _: rows, registry, folder, 60.0)
    return Path(step.run(work)["file"]).read_text()


def test_it_tells_how_the_night_ended_what_each_step_found_and_how_the_challenger_did(tmp_path: Path) -> None:
    page = _write(tmp_path)
    assert page.startswith("# Night 12: a new model is live\n")
    assert "| pin | done | 1 | 0.0 s | version 7 of the log, 12,345 events |" in page
    assert "| check | done | 1 | 0.0 s | 1 checks, none broken |" in page
    assert "| users | 7 | yes | 7 users. |" in page
    assert "| evaluate | done | 1 | 0.0 s | 1,234 questions, beside old |" in page
    assert "| swap | done | 1 | 0.0 s | new is live, generation 3 |" in page
    assert "| NDCG@10 | 0.12 | 0.11 |" in page
    assert "| NDCG@10 beside the champion | +0.0100 (+0.0050 to +0.0150) | – |" in page
    assert "## The gate on new: passed" in page


def test_a_night_that_ended_at_its_first_step_has_a_page_too(tmp_path: Path) -> None:
    page = _write(tmp_path, outputs={})
    assert "## Steps" in page
    assert "## Challengers" not in page


def test_the_pages_of_old_nights_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is bounded."""
    monkeypatch.setattr(report, "NIGHTS_KEPT", 3)
    for run_id in (8, 9, 10, 11, 12):
        _write(tmp_path, run_id)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["10", "11", "12"]
