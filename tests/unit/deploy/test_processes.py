"""Waiting for children: a Ctrl-C ends it, wherever it comes."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploy.embedded.processes import Child, Identity, Program, wait_until_ready
from services import interrupts


class _InterruptedWhenTakenDown:
    """What Ctrl-C meets in a client's `__del__`, whose exceptions Python reports and drops."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        _a_few_steps_in_which_a_signal_is_handled()


def _a_few_steps_in_which_a_signal_is_handled() -> int:
    return sum(range(100))


def test_an_interrupt_is_not_lost_in_what_asks_whether_a_child_is_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    interrupts.never_lost()
    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    asked: list[bool] = []

    def is_ready() -> bool:
        if not asked:
            asked.append(True)
            _InterruptedWhenTakenDown()
        return False

    program = Program("idle", [sys.executable], tmp_path / "log", is_ready, start_timeout_s=2.0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as popen:
        try:
            with pytest.raises(KeyboardInterrupt):
                wait_until_ready([Child(program, popen, Identity.of(popen.pid))])
        finally:
            signal.signal(signal.SIGINT, before)
            popen.kill()
