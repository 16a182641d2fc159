"""An evaluation is followed as a child, its failures are told apart, and its figures become a table."""

import json
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

from services.cli.evaluate import progress
from services.cli.evaluation_run import EvaluationAsked, run_evaluation
from services.cli.evaluation_tables import tables
from services.cli.main import run
from services.cli.model_kinds import KINDS
from services.domain.errors import BadData, InvalidSettings, NightjarError, NotEnoughData, TrainingFailed
from services.settings import Settings, TrainSettings, load

FIGURES = {
    "protocol": "P1", "model": "popularity", "users": 6040, "hr_at_10": 0.03626, "ndcg_at_10": 0.01782,
    "recall_at_20": 0.06838, "ndcg_at_20": 0.02586, "coverage": 0.05826, "fit_seconds": 31.25, "peak_rss_mib": 1024.0,
}  # fmt: skip
ASKED = EvaluationAsked("P1", Path("my-shop"), "popularity", 3, ("dim=32", "dropout=0.1"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(home=tmp_path / "home")


def saying(*said: Mapping[str, Any], then: str = "") -> list[str]:
    """A child that prints these lines, then does something."""
    lines = [json.dumps(line) for line in said]
    return [sys.executable, "-c", f"for line in {lines!r}: print(line, flush=True)\n{then}"]


def test_the_figures_are_what_the_child_said_last(settings: Settings) -> None:
    heard: list[Mapping[str, Any]] = []
    stage = {"event": "stage", "name": "fit"}
    command = saying(stage, {"event": "done", "figures": FIGURES})
    assert run_evaluation(settings, ASKED, heard.append, command) == FIGURES
    assert heard[0] == stage


def test_the_child_is_told_everything_that_was_asked(settings: Settings) -> None:
    """And nothing else: what nobody set it takes from its own settings."""
    then = "import json, sys; print(json.dumps({'event': 'done', 'figures': {'said': sys.argv[1:]}}))"
    told = run_evaluation(settings, ASKED, lambda _: None, saying(then=then))["said"]
    assert told == [
        "--protocol=P1",
        "--data=my-shop",
        "--model=popularity",
        "--seed=3",
        "--set=dim=32",
        "--set=dropout=0.1",
    ]
    assert EvaluationAsked("P3", Path("x"), replay_days=14).arguments[-1] == "--replay=14"
    assert EvaluationAsked("P3", Path("x"), replay_days=14, beside_full=True).arguments[-1] == "--beside-full"
    assert EvaluationAsked("P2", Path("-odd name")).arguments == ["--protocol=P2", "--data=-odd name"]


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("BAD_DATA", BadData),
        ("NOT_ENOUGH_DATA", NotEnoughData),
        ("INVALID_SETTINGS", InvalidSettings),
        ("TRAINING_FAILED", TrainingFailed),
        ("NEW", TrainingFailed),
    ],
)
def test_a_failure_keeps_its_kind_and_its_sentence(settings: Settings, reason: str, error: type[NightjarError]) -> None:
    failed = {"event": "failed", "reason": reason, "message": "Name another folder."}
    with pytest.raises(error, match="Name another folder"):
        run_evaluation(settings, ASKED, lambda _: None, saying(failed, then="exit(1)"))


def test_a_child_that_dies_without_a_word_names_its_log(settings: Settings) -> None:
    with pytest.raises(TrainingFailed, match=r"SIGKILL, which often means out of memory .*evaluation\.log"):
        run_evaluation(settings, ASKED, lambda _: None, saying(then="import os; os.kill(os.getpid(), 9)"))


def lines_of(figures: Mapping[str, Any]) -> list[str]:
    out = StringIO()
    Console(file=out, width=100).print(*tables(figures))
    return [" ".join(line.replace("│", "").split()) for line in out.getvalue().splitlines()]


def test_the_table_shows_counts_whole_and_shares_with_four_digits() -> None:
    lines = lines_of({**FIGURES, "miscalibration": None})
    assert {"users asked about 6,040", "NDCG@10 0.0178", "seconds to fit 31.2"} <= set(lines)
    assert not any("miscalibration" in line for line in lines)


def test_slices_and_days_have_tables_of_their_own() -> None:
    """What others named, such as an event type, is no markup."""
    part = {"num_users": 7, "num_targets": 9, "hr_at_10": 0.5, "ndcg_at_10": 0.25, "ndcg_at_10_ci": [0.2, 0.3]}
    day = {
        "date": "2026-01-31", "users": 3, "ndcg_at_10": 0.1, "frozen_ndcg_at_10": 0.05, "popularity_ndcg_at_10": 0.2,
        "fit_seconds": 12.0,
    }  # fmt: skip
    lines = lines_of({**FIGURES, "slices": [{"name": "event [red]buy", **part}], "days": [day]})
    assert "event [red]buy 7 9 0.5000 0.2500 0.2000 to 0.3000" in lines
    assert "2026-01-31 3 0.1000 0.0500 0.2000 12.0" in lines


def test_the_table_of_a_replay_shows_what_is_gained_and_how_sure_that_is() -> None:
    replayed = {**FIGURES, "protocol": "P3", "frozen_ndcg_at_10": 0.07, "gain": -0.001, "gain_ci": [-0.003, 0.001]}
    assert "gain over frozen -0.0010 -0.0030 to 0.0010" in lines_of(replayed)


def test_progress_takes_what_a_child_may_say() -> None:
    """Stages we do not know and lines that are none are no reason to stop."""
    quiet = {"event": "day", "number": 1, "num_days": 14}
    epoch = {"event": "epoch", "epoch": 2, "max_epochs": 6, "loss": 5.5}
    out = StringIO()
    with progress(Console(file=out, width=80)) as show:
        for said in ({}, {"event": "stage", "name": "new"}, quiet, {"event": "stage", "name": "fit"}, epoch):
            show(said)
    assert "fitting" in out.getvalue()
    assert "2/6 loss 5.500" in out.getvalue()


def test_the_kinds_are_those_of_the_settings() -> None:
    assert set(KINDS) == set(get_args(TrainSettings.model_fields["kind"].annotation))
    assert {"sequence", "popularity"} <= set(KINDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "x"],
        ["--protocol", "P1"],
        ["--protocol", "P4", "--data", "x"],
        ["--protocol", "P1", "--data", "x", "--model", "teapot"],
        ["--protocol", "P1", "--data", "x", "--seed", "-1"],
        ["--protocol", "P1", "--data", "x", "--replay", "14"],
        ["--protocol", "P3", "--data", "x", "--replay", "-1"],
    ],
)
def test_a_misuse_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(["evaluate", *arguments])
    assert exit_.value.code == 2
    assert "Usage" in capsys.readouterr().err


def test_help_opens_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["evaluate", "--help"])
    opening = capsys.readouterr().out.split("Options")[0]
    assert opening.index("Example: nightjar evaluate") < opening.index("Fits a model")
