"""A stack in the background: starts its supervisor as a process of its own, and stops a stack from outside."""

import sys
from typing import Final

from deploy.embedded import leftovers, logfiles, processes, state
from deploy.embedded.processes import Child, Program
from deploy.embedded.services import environment, log_of
from services.domain.errors import NightjarError, StartFailed
from services.settings import Settings

START_TIMEOUT_S: Final = 600.0  # the first start fetches Kafka's jars
STOP_TIMEOUT_S: Final = 60.0  # longer than a supervisor's own bounded stop
SENTENCE: Final = "nightjar: "


def start(settings: Settings) -> int:
    """Starts the supervisor, blocks until all of the stack is ready, and returns the supervisor's pid.

    Raises StartFailed with the supervisor's own sentence; nothing is left running then.
    """
    ready_file = settings.home_folder / "run" / "supervisor.json"
    try:
        ready_file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartFailed(f"{settings.home_folder} cannot be used ({error.strerror}); set NIGHTJAR_HOME.") from error
    program = Program(
        name="supervisor",
        command=[sys.executable, "-m", "deploy.embedded", "--ready-file", str(ready_file)],
        log=log_of(settings, "supervisor"),
        is_ready=ready_file.is_file,
        environment=environment(settings),
        ready_file=ready_file,
        outlives_us=True,
        start_timeout_s=START_TIMEOUT_S,
        stop_timeout_s=STOP_TIMEOUT_S,
    )
    started: list[Child] = []
    try:
        child = processes.start(program, started.append)
        processes.wait_until_ready([child])
    except BaseException as error:
        processes.settle()
        processes.stop(started)
        if isinstance(error, StartFailed):
            raise _in_its_own_words(program) or error from None
        raise
    return child.identity.pid


def stop(settings: Settings) -> bool:
    """Stops the home's stack, or what a killed one left behind; False when there was nothing to stop."""
    before = state.read(settings.home_folder)
    supervisor = before.supervisor.process() if before.supervisor else None
    if supervisor is not None:
        processes.end(supervisor, STOP_TIMEOUT_S)
    after = state.read(settings.home_folder)
    ended = leftovers.end_all(after)
    if after.supervisor is not None:
        state.write(settings.home_folder, after.stopped())
    return supervisor is not None or bool(ended)


def _in_its_own_words(program: Program) -> NightjarError | None:
    last = logfiles.last_lines(program.log, 1)
    return StartFailed(last[0].removeprefix(SENTENCE)) if last and last[0].startswith(SENTENCE) else None
