"""A search's workers are followed and ended, what they say is put together, and the best becomes lines to paste."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.cli.main import run
from services.cli.tune import document, lines_to_paste, progress, text
from services.cli.tuning_run import SearchAsked, Standing, run_search, share_of_cores
from services.domain.errors import InvalidRequest, NightjarError, NotEnoughData, TrainingFailed
from services.settings import Settings, TrainSettings, load

PRESENT = {"number": 0, "settings": {"dim": 128, "num_blocks": None}, "state": "complete", "ndcg_at_10": 0.0625}
BEST = {"number": 4, "settings": {"dim": 64, "num_blocks": 2}, "state": "complete", "ndcg_at_10": 0.09375}
STUDY = {"event": "study", "data_version": 12, "num_done": 1, "best": PRESENT, "present": PRESENT}
DONE = {"event": "done", "num_done": 5, "best": BEST, "present": PRESENT}
FOUND = Standing(12, 5, BEST, PRESENT)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(home=tmp_path / "home")


def saying(*said: Mapping[str, Any], then: str = "") -> list[str]:
    """A worker that prints these lines, then does something."""
    lines = [json.dumps(line) for line in said]
    return [sys.executable, "-c", f"for line in {lines!r}: print(line, flush=True)\n{then}"]


def ignored(said: Mapping[str, Any], now: Standing) -> None:
    """Nobody watches."""


def test_where_the_search_stands_is_what_its_worker_said_last(settings: Settings) -> None:
    heard: list[tuple[str, int]] = []
    found = run_search(
        settings,
        SearchAsked(5),
        lambda said, now: heard.append((said["event"], now.num_done)),
        command=saying(STUDY, DONE),
    )
    assert found == FOUND
    assert heard == [("study", 1), ("done", 5)]
    assert found.gain == pytest.approx(0.03125)


def test_workers_that_join_search_on_what_the_first_one_fixed(settings: Settings, tmp_path: Path) -> None:
    """The log may have grown meanwhile; and each keeps to cores of its own."""
    then = f"import pathlib, sys, os; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).write_text(' '.join(sys.argv))"
    asked = SearchAsked(9, budget_s=60, num_jobs=3, study="my shop")
    run_search(settings, asked, ignored, command=saying(STUDY, DONE, then=then))
    told = sorted(path.read_text() for path in tmp_path.iterdir() if path.name.isdigit())
    assert len(told) == 3
    assert sum("--data-version=12" in each for each in told) == 2
    assert all("--trials=9" in each and "--study=my shop" in each and "--budget-s=5" in each for each in told)


def test_what_nobody_set_is_left_to_the_worker(settings: Settings) -> None:
    told: list[Mapping[str, Any]] = []
    then = "import json, sys; print(json.dumps({'event': 'done', 'told': sys.argv[1:]}))"
    run_search(settings, SearchAsked(9), lambda said, _: told.append(said), command=saying(then=then))
    assert told[-1]["told"] == ["--trials=9"]


@pytest.mark.parametrize(
    ("reason", "error", "says"),
    [
        ("NOT_ENOUGH_DATA", NotEnoughData, "--study a is of another version"),
        ("INVALID_REQUEST", InvalidRequest, "--study a is of another version"),
        ("NEW", TrainingFailed, "--study a is of another version"),
    ],
)
def test_a_failure_keeps_its_kind_and_its_sentence(
    settings: Settings, reason: str, error: type[NightjarError], says: str
) -> None:
    failed = {"event": "failed", "reason": reason, "message": says}
    with pytest.raises(error, match=says):
        run_search(settings, SearchAsked(5, num_jobs=2), ignored, command=saying(failed, then="exit(1)"))


def test_a_worker_that_dies_does_not_end_the_others(settings: Settings, tmp_path: Path) -> None:
    """The second one is killed once it has said hello."""
    dies = f"import os, sys\nif '--data-version=12' in sys.argv: os.kill(os.getpid(), 9)\nprint({json.dumps(DONE)!r})"
    found = run_search(settings, SearchAsked(5, num_jobs=2), ignored, command=saying(STUDY, then=dies))
    assert (found.best, len(found.troubles)) == (BEST, 1)
    assert "SIGKILL" in found.troubles[0]


def test_when_all_die_their_log_is_named(settings: Settings) -> None:
    with pytest.raises(TrainingFailed, match=r"ended with status 3; its log is .*tuning\.log"):
        run_search(settings, SearchAsked(5), ignored, command=saying(STUDY, then="exit(3)"))


def test_told_to_stop_it_ends_the_workers_and_keeps_what_they_found(settings: Settings) -> None:
    heard: list[str] = []
    started = time.monotonic()
    found = run_search(
        settings,
        SearchAsked(50, num_jobs=2),
        lambda said, _: heard.append(said["event"]),
        keep_going=lambda: len(heard) < 2,
        command=saying(STUDY, then="import signal; signal.pause()"),
    )
    assert found.best == PRESENT
    assert time.monotonic() - started < 30


def test_what_is_said_out_of_turn_takes_nothing_back() -> None:
    now = Standing()
    running = {**PRESENT, "state": "running", "ndcg_at_10": None}
    for said in (DONE, STUDY, {"event": "trial", "num_done": 3, "best": None, "present": running}, {}):
        now.hear(said)
    assert now == FOUND


def test_why_trials_failed_is_told_once() -> None:
    now = Standing()
    for number in range(3):
        now.hear({"event": "trial", "number": number, "state": "failed", "detail": "The loss became nan."})
    assert text(TrainSettings(), now).splitlines() == [
        "None of 0 trials was completed, so there is nothing to choose.",
        "Failed: The loss became nan.",
    ]


def test_cores_are_shared_out() -> None:
    assert share_of_cores(0, 1) == []
    shares = [share_of_cores(number, 2) for number in range(2)]
    assert all(shares)
    assert all(len(share_of_cores(number, 1_000)) == 1 for number in (0, 999))


def test_the_best_settings_are_lines_that_the_settings_take(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_to_paste(TrainSettings(), FOUND)
    assert lines == {
        "NIGHTJAR_TRAIN__KIND": "sequence", "NIGHTJAR_TRAIN__DIM": "64", "NIGHTJAR_TRAIN__NUM_BLOCKS": "2",
    }  # fmt: skip
    for name, value in lines.items():
        monkeypatch.setenv(name, value)
    assert (load().train.dim, load().train.num_blocks) == (64, 2)


def test_what_was_best_unset_has_no_line() -> None:
    unset = {**BEST, "settings": {"dim": 64, "num_blocks": None}}
    assert "NIGHTJAR_TRAIN__NUM_BLOCKS" not in lines_to_paste(TrainSettings(), Standing(12, 5, unset, PRESENT))


def test_the_text_says_what_is_gained_and_on_what() -> None:
    head, *lines, tail = text(TrainSettings(), FOUND).splitlines()
    assert head == (
        "Of 5 trials number 4 was best: NDCG@10 0.0938 on validation, +0.0312 over the present settings."
    )  # fmt: skip
    assert lines == ["NIGHTJAR_TRAIN__KIND=sequence", "NIGHTJAR_TRAIN__DIM=64", "NIGHTJAR_TRAIN__NUM_BLOCKS=2"]
    assert "holdout" in tail


def test_present_settings_that_are_the_best_stay() -> None:
    assert text(TrainSettings(), Standing(12, 5, PRESENT, PRESENT)) == (
        "Of 5 trials none was better than the present settings: NDCG@10 0.0625 on validation."
    )


def test_options_of_other_kinds_are_one_line_with_what_was_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quoted for a shell; null says that a default is off."""
    train = TrainSettings(kind="ease", options={"num_neighbours": 50, "l2": 250.0})
    found = Standing(12, 5, {**BEST, "settings": {"l2": 100.0, "half_life_days": None}}, PRESENT)
    value = lines_to_paste(train, found)["NIGHTJAR_TRAIN__OPTIONS"]
    assert f"NIGHTJAR_TRAIN__OPTIONS='{value}'" in text(train, found).splitlines()
    monkeypatch.setenv("NIGHTJAR_TRAIN__OPTIONS", value)
    assert load().train.options == {"num_neighbours": 50, "l2": 100.0, "half_life_days": None}


def test_one_object_holds_it_all() -> None:
    said = document(TrainSettings(), "", FOUND)
    assert (said["study"], said["kind"], said["data_version"], said["num_trials"]) == ("sequence", "sequence", 12, 5)
    assert (said["best"], said["present"], said["gain"]) == (BEST, PRESENT, pytest.approx(0.03125))
    assert said["settings"]["NIGHTJAR_TRAIN__DIM"] == "64"


def test_progress_says_which_trial_the_best_and_the_time_left() -> None:
    assert (
        progress(FOUND, SearchAsked(30, budget_s=600), 60.2) == "trial 6 of 30, best NDCG@10 0.0938, at most 540 s left"
    )
    assert progress(Standing(), SearchAsked(30), 60.2) == "trial 1 of 30"


@pytest.mark.parametrize(
    "arguments",
    [["--kind", "teapot"], ["--trials", "0"], ["--jobs", "0"], ["--budget-s", "-1"], ["--data-version", "-1"]],
)
def test_a_misuse_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(["tune", *arguments])
    assert exit_.value.code == 2
    assert "Usage" in capsys.readouterr().err
