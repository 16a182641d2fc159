"""Steps as real processes: what they say is heard, and nothing of them is left behind."""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler.chain import StepFailed, Work
from scheduler.children import LocalChildren, Task
from scheduler.facts import Facts
from services.domain.runs import Run, RunState
from services.patience import Patience
from tests.fakes.clock import START, FakeClock
from tests.waiting import wait_until

TASK = Task("services.training", ("--origin", "night-1/a"))


def _run(
    tmp_path: Path,
    script: str,
    timeout_s: float = 30.0,
    keep_going: Callable[[], bool] = lambda: True,
    note: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> Mapping[str, Any]:
    """The last line that a script says, which is run in the place of the module."""
    path = tmp_path / "child.py"
    path.write_text(f"import json, os, signal, subprocess, sys, time\n{script}\n")
    children = LocalChildren(lambda task: [sys.executable, str(path), task.module, *task.arguments])
    return children.run(TASK, _work(timeout_s, keep_going, note))


def _work(
    timeout_s: float, keep_going: Callable[[], bool], note: Callable[[Mapping[str, Any]], None] = lambda _: None
) -> Work:
    return Work(
        run=Run(1, "night", "schedule", START, RunState.RUNNING),
        facts=Facts(1, {}),
        keep_going=keep_going,
        is_ours=lambda: True,
        note=note,
        patience=Patience(FakeClock(), lambda _: False),
        timeout_s=timeout_s,
    )


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


def test_the_last_line_is_the_result_and_the_others_are_its_log(tmp_path: Path) -> None:
    script = """
print(json.dumps({"event": "epoch", "number": 1}), flush=True)
print("a library that prints")
print(json.dumps({"event": "done", "arguments": sys.argv[1:]}))
"""
    said: list[Mapping[str, Any]] = []
    done = _run(tmp_path, script, note=said.append)
    assert done["arguments"] == ["services.training", "--origin", "night-1/a"]
    assert said[0] == {"event": "epoch", "number": 1}


@pytest.mark.parametrize(
    "script",
    ["", 'print(json.dumps({"event": "done"})); print(json.dumps({"event": "epoch"}))', 'print("[1, 2")'],
)
def test_an_end_without_saying_so_is_a_failure(tmp_path: Path, script: str) -> None:
    with pytest.raises(StepFailed, match="without saying that it is done"):
        _run(tmp_path, script)


def test_a_failure_is_told_with_its_status_and_last_words(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"status 3.*not enough events"):
        _run(tmp_path, "sys.stderr.write('loading\\nnightjar: not enough events\\n'); sys.exit(3)")


@pytest.mark.parametrize(("reason", "retry"), [("NOT_ENOUGH_DATA", False), ("CATALOG_DOWN", True)])
def test_the_sentence_it_failed_with_is_the_detail_and_its_reason_says_whether_to_try_again(
    tmp_path: Path, reason: str, retry: bool
) -> None:
    script = f'print(json.dumps({{"event": "failed", "reason": "{reason}", "message": "It is so."}})); sys.exit(1)'
    with pytest.raises(StepFailed, match=r"^It is so\.$") as failed:
        _run(tmp_path, script)
    assert failed.value.retry is retry


def test_what_is_said_before_a_crash_does_not_count(tmp_path: Path) -> None:
    script = 'print(json.dumps({"event": "done"}), flush=True); os.kill(os.getpid(), signal.SIGKILL)'
    with pytest.raises(StepFailed, match="SIGKILL"):
        _run(tmp_path, script)


def test_a_command_that_is_not_there_is_a_failure_not_a_crash() -> None:
    with pytest.raises(StepFailed, match="No such file"):
        LocalChildren(lambda _: ["/nowhere/python"]).run(TASK, _work(5.0, lambda: True))


def test_much_output_on_both_pipes_does_not_block_it(tmp_path: Path) -> None:
    script = """
for number in range(3_000):
    print(json.dumps({"event": "epoch", "text": "x" * 100}))
    sys.stderr.write("y" * 100 + "\\n")
print(json.dumps({"event": "done", "number": 7}))
"""
    assert _run(tmp_path, script)["number"] == 7


@pytest.mark.parametrize("child", [SLEEP, STUBBORN])
def test_at_the_timeout_the_whole_group_is_ended(tmp_path: Path, child: str) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(StepFailed, match="longer than 2 s") as failed:
        _run(tmp_path, FAMILY.format(child=child, pids=str(pids)) + "child.wait()", timeout_s=2.0)
    assert failed.value.timed_out
    assert len(_pids(pids)) == 2
    wait_until(lambda: _gone(_pids(pids)), what="the process and its child are gone")


def test_when_told_to_stop_it_ends_the_process_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = FAMILY.format(child=SLEEP, pids=str(pids)) + "child.wait()"
    with pytest.raises(StepFailed, match="was ended"):
        _run(tmp_path, script, keep_going=lambda: not _pids(pids))
    wait_until(lambda: _gone(_pids(pids)), what="the process and its child are gone")


def test_children_that_outlive_it_are_ended_and_do_not_hold_it_up(tmp_path: Path) -> None:
    """A worker left behind keeps both pipes open; the step still ends with its own process."""
    pids = tmp_path / "pids"
    script = FAMILY.format(child=SLEEP, pids=str(pids)) + 'print(json.dumps({"event": "done"}))'
    started = time.monotonic()
    _run(tmp_path, script)
    assert time.monotonic() - started < 20
    wait_until(lambda: _gone(_pids(pids)), what="the child is gone")


def test_it_runs_in_a_group_of_its_own(tmp_path: Path) -> None:
    """A Ctrl-C meant for the terminal's foreground group must not reach it past the scheduler."""
    assert _run(tmp_path, 'print(json.dumps({"event": "done", "leads": os.getpgrp() == os.getpid()}))')["leads"]
