"""Runs a command that ends when its parent does: `leash.py PARENT_PID COMMAND...`, used by `processes`.

Linux sends the signal asked for by prctl(PR_SET_PDEATHSIG) when the parent thread dies, however it dies; the wish
survives exec. Doing this here, and not between fork and exec of a process with threads, cannot deadlock.
A script of its own, started with `-I -S`, so that it costs about 15 ms and imports nothing of the project.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent_pid, *command = sys.argv[1:]
    # SIGTERM, not SIGKILL: Kafka closes its files, and a service with workers ends them too.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent_pid):
        sys.exit("The parent died before its child began.")
    try:
        os.execvp(command[0], command)  # noqa: S606 - the very purpose
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
