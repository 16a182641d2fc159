"""The process group that a child leads: whatever it started is ended with it."""

import os
import signal
import subprocess
from contextlib import suppress

GRACE_S = 5.0  # larger: the parent itself is slow to stop; smaller: a child cannot clean up


def end_group(leader: "subprocess.Popen[bytes]") -> None:
    """Ends a child, politely first, and then whatever else is left of its group; blocks for at most GRACE_S."""
    try:
        if leader.poll() is None:
            _signal_group(leader.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                leader.wait(GRACE_S)
    finally:  # also when a second Ctrl-C cuts the wait short
        kill_group(leader.pid)
        leader.wait()


def kill_group(leader_pid: int) -> None:
    """SIGKILL to the group that a process leads; nothing when it leads none or all of it is gone."""
    _signal_group(leader_pid, signal.SIGKILL)


def _signal_group(leader_pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says PermissionError of zombies
        os.killpg(leader_pid, number)
