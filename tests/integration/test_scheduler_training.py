"""Training as a real process: what it says is heard, and nothing of it is left behind."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scheduler.nightly import Outcome, TrainingEnd
from scheduler.training_process import TrainingProcess
from tests.waiting import wait_until


def _end(
    tmp_path: Path, script: str, timeout_s: float = 30.0, keep_going: Callable[[], bool] = lambda: True
) -> TrainingEnd:
    path = tmp_path / "training.py"
    path.write_text(f"import json, os, signal, subprocess, sys, time\n{script}\n")
    return TrainingProcess([sys.executable, str(path)], timeout_s).run(keep_going)


FAMILY = """
child = subprocess.Popen([sys.executable, "-c", {child!r}])
with open({pids!r}, "w") as file:
    json.dump([os.getpid(), child.pid], file)
"""
SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def _pids(path: Path) -> list[int]:
    try:
        pids: list[int] = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return pids


def _gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_the_version_in_the_last_line_is_the_result(tmp_path: Path) -> None:
    script = """
print(json.dumps({"event": "epoch", "number": 1}), flush=True)
print("a library that prints")
print(json.dumps({"event": "done", "version": "2026-03-01"}))
"""
    assert _end(tmp_path, script) == TrainingEnd(Outcome.COMPLETED, "2026-03-01")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "script",
    [
        "",
        'print(json.dumps({"event": "done"}))',
        'print(json.dumps({"event": "done", "version": "a"})); print(json.dumps({"event": "epoch"}))',
        'print("[1, 2")',
    ],
)
def test_an_end_without_a_version_is_a_failure(tmp_path: Path, script: str) -> None:
    end = _end(tmp_path, script)
    assert end.outcome is Outcome.FAILED
    assert "without naming" in end.detail


def test_a_failure_is_told_with_its_status_and_last_words(tmp_path: Path) -> None:
    end = _end(tmp_path, "sys.stderr.write('loading\\nnightjar: not enough events\\n'); sys.exit(3)")
    assert end.outcome is Outcome.FAILED
    assert "status 3" in end.detail
    assert "not enough events" in end.detail


def test_the_sentence_training_failed_with_is_the_detail(tmp_path: Path) -> None:
    script = 'print(json.dumps({"event": "failed", "message": "There are too few events."})); sys.exit(1)'
    assert _end(tmp_path, script) == TrainingEnd(Outcome.FAILED, detail="There are too few events.")


def test_a_version_named_before_a_crash_does_not_count(tmp_path: Path) -> None:
    script = 'print(json.dumps({"event": "done", "version": "a"}), flush=True); os.kill(os.getpid(), signal.SIGKILL)'
    end = _end(tmp_path, script)
    assert (end.outcome, end.version) == (Outcome.FAILED, None)
    assert "SIGKILL" in end.detail


def test_a_command_that_is_not_there_is_a_failure_not_a_crash() -> None:
    end = TrainingProcess(["/nowhere/python"], 5.0).run(lambda: True)
    assert end.outcome is Outcome.FAILED
    assert "No such file" in end.detail


def test_much_output_on_both_pipes_does_not_block_it(tmp_path: Path) -> None:
    script = """
for number in range(3_000):
    print(json.dumps({"event": "epoch", "text": "x" * 100}))
    sys.stderr.write("y" * 100 + "\\n")
print(json.dumps({"event": "done", "version": "a"}))
"""
    assert _end(tmp_path, script).outcome is Outcome.COMPLETED


@pytest.mark.parametrize("child", [SLEEP, STUBBORN])
def test_at_the_timeout_the_whole_group_is_ended(tmp_path: Path, child: str) -> None:
    pids = tmp_path / "pids"
    end = _end(tmp_path, FAMILY.format(child=child, pids=str(pids)) + "child.wait()", timeout_s=2.0)
    assert end.outcome is Outcome.TIMED_OUT
    assert "2 s" in end.detail
    assert len(_pids(pids)) == 2
    wait_until(lambda: _gone(_pids(pids)), what="training and its child are gone")


def test_when_told_to_stop_it_ends_training_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = FAMILY.format(child=SLEEP, pids=str(pids)) + "child.wait()"
    end = _end(tmp_path, script, keep_going=lambda: not _pids(pids))
    assert end.outcome is Outcome.STOPPED
    wait_until(lambda: _gone(_pids(pids)), what="training and its child are gone")


def test_children_that_outlive_training_are_ended_and_do_not_hold_it_up(tmp_path: Path) -> None:
    """A worker left behind keeps both pipes open; the run still ends with training itself."""
    pids = tmp_path / "pids"
    script = FAMILY.format(child=SLEEP, pids=str(pids)) + 'print(json.dumps({"event": "done", "version": "a"}))'
    started = time.monotonic()
    assert _end(tmp_path, script).outcome is Outcome.COMPLETED
    assert time.monotonic() - started < 20
    wait_until(lambda: _gone(_pids(pids)), what="the child is gone")


def test_training_runs_in_a_group_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C meant for the terminal's foreground group must not reach it past the scheduler."""
    script = 'print(json.dumps({"event": "done", "version": str(os.getpgrp() == os.getpid())}))'
    assert _end(tmp_path, script).version == "True"
