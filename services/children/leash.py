"""Children that end when their parent does, however it dies. A module, and a script: `leash.py PARENT_PID COMMAND...`.

Linux sends the signal asked for by prctl(PR_SET_PDEATHSIG) when the parent *thread* dies; the wish survives exec. The
script asks for it, since code between fork and exec of a process with threads can deadlock. It is started with
`-I -S` and imports nothing of the project, so that it costs about 15 ms.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def leashed(command: list[str]) -> list[str]:
    """The command, ended with the thread that starts it where the system can do that: on Linux."""
    if sys.platform != "linux":
        return command
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def end_with_parent() -> None:
    """Asks for SIGTERM at the death of the thread that started this process; does nothing but on Linux.

    SIGTERM, not SIGKILL: Kafka closes its files, and a service with workers ends them too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def main() -> None:
    parent_pid, *command = sys.argv[1:]
    end_with_parent()
    if os.getppid() != int(parent_pid):
        sys.exit("The parent died before its child began.")
    try:
        os.execvp(command[0], command)  # noqa: S606 - the very purpose
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
