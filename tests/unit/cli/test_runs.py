"""What `nightjar runs` says of runs that go on, that ended, and that nobody has heard of for a while."""

from dataclasses import replace
from datetime import timedelta

import pytest
from rich.console import Console

from services.cli.runs import document, sentence, table
from services.domain.ids import ModelVersion
from services.domain.training_runs import SILENT_AFTER, TrainingRun, TrainingState
from tests.fakes.clock import START

NOW = START + timedelta(minutes=30)
FITTING = TrainingRun(
    "run-1", "sequence", "nightly", START, NOW - timedelta(seconds=20), stage="fit", mode="full", epoch=3, max_epochs=8,
    loss=4.25, valid_ndcg_at_10=0.125, examples_per_s=70_000.5, left_s=150.0,
)  # fmt: skip
COMPLETED = replace(
    FITTING,
    state=TrainingState.COMPLETED,
    stage="publish",
    left_s=None,
    version=ModelVersion("20260101T003000.000Z-9f3c"),
)
FAILED = replace(FITTING, state=TrainingState.FAILED, left_s=None, detail="The loss became nan; train again.")
SILENT = replace(FITTING, update_time=NOW - timedelta(minutes=12))


FIGURES = "epoch 3 of 8; loss 4.250; validation NDCG@10 0.1250; 70,000 events/s"


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (FITTING, f"fitting, at most 2 min left; {FIGURES}"),
        (replace(FITTING, stage="evaluate", left_s=None), f"measuring on the holdout; {FIGURES}"),
        (TrainingRun("run-1", "ease", "manual", START, START), "starting"),
        (COMPLETED, f"20260101T003000.000Z-9f3c; {FIGURES}"),
        (FAILED, f"fitting: The loss became nan; train again; {FIGURES}"),
        (SILENT, f"no word for 12 min while fitting: it was probably killed; {FIGURES}"),
    ],
    ids=["fits", "measures", "starts", "completed", "failed", "silent"],
)
def test_each_run_is_told_in_one_sentence(run: TrainingRun, says: str) -> None:
    now = NOW if run.epoch else START
    assert sentence(run, now) == says


def test_a_run_is_silent_after_five_minutes_and_one_that_ended_never_is() -> None:
    at_the_limit = replace(FITTING, update_time=NOW - SILENT_AFTER)
    assert document(at_the_limit, NOW)["silent_s"] is None
    assert document(at_the_limit, NOW + timedelta(seconds=1))["silent_s"] == 301.0
    assert document(COMPLETED, NOW + timedelta(days=1))["silent_s"] is None


def test_the_clock_of_another_machine_that_is_ahead_makes_nobody_silent() -> None:
    assert document(replace(FITTING, update_time=NOW + timedelta(hours=1)), NOW)["silent_s"] is None


def test_one_object_has_it_all() -> None:
    assert document(SILENT, NOW) == {
        "run_id": "run-1",
        "kind": "sequence",
        "mode": "full",
        "trigger": "nightly",
        "state": "running",
        "stage": "fit",
        "start_time": START.isoformat(),
        "update_time": SILENT.update_time.isoformat(),
        "silent_s": 720.0,
        "epoch": 3,
        "max_epochs": 8,
        "loss": 4.25,
        "valid_ndcg_at_10": 0.125,
        "examples_per_s": 70_000.5,
        "left_s": 150.0,
        "version": None,
        "detail": "",
    }


def test_the_table_fits_a_terminal_of_80_characters() -> None:
    """And an error's sentence makes nothing happen in it."""
    odd = replace(FAILED, detail="[bold]\x1b[2J")
    console = Console(width=80)
    with console.capture() as shown:
        console.print(table([FITTING, SILENT, odd, COMPLETED], NOW))
    text = shown.get()
    assert max(map(len, text.splitlines())) <= 80
    for word in ("2026-01-01 00:00", "running", "silent", "failed", "completed", "sequence", "nightly", "30 min"):
        assert word in text
    for word in ("0.1250", "70,000", "[bold]\ufffd[2J", COMPLETED.version or ""):
        assert word in text
