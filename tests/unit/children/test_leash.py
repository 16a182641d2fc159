"""A leashed child ends with its parent, whatever ends that."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from services.children.leash import leashed
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
PARENT = """
import subprocess, sys
from services.children.leash import leashed
child = subprocess.Popen(leashed([sys.executable, "-c", "import time; print('runs', flush=True); time.sleep(600)"]))
print(child.pid, flush=True)
child.wait()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_child_does_not_outlive_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        said = {parent.stdout.readline().strip() for _ in range(2)}
        (pid,) = said - {"runs"}
        child = psutil.Process(int(pid))
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child is gone")


def test_a_command_that_is_not_there_is_said_in_one_line() -> None:
    if sys.platform != "linux":
        pytest.skip("elsewhere the start itself fails")
    done = subprocess.run(leashed(["/nowhere/python"]), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "/nowhere/python: No such file or directory\n")


def test_a_leashed_command_keeps_its_exit_status_and_arguments() -> None:
    script = "import sys; sys.exit(7 if sys.argv[1:] == ['a b', '--c'] else 1)"
    assert subprocess.run(leashed([sys.executable, "-c", script, "a b", "--c"]), check=False).returncode == 7
