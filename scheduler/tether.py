"""Runs a command that gets SIGTERM when its parent dies, however that dies: `tether.py PARENT_PID COMMAND...`. Linux.

The kernel's promise (prctl PR_SET_PDEATHSIG) survives exec. It is asked for here, in the child and after its start:
code between fork and exec of a process with threads can deadlock. Started with `-I -S`, so that it costs about 15 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent_pid, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent_pid):
        sys.exit("The scheduler died before training began.")
    os.execvp(command[0], command)  # noqa: S606 - the very purpose


if __name__ == "__main__":
    main()
