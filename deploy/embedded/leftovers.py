"""What an earlier stack of a home left running, because it was killed: found by its state file, and ended."""

from collections.abc import Iterator

import structlog

from deploy.embedded import processes
from deploy.embedded.state import Part, StackState

END_TIMEOUT_S = 10.0

log = structlog.get_logger()


def living(state: StackState) -> Iterator[Part]:
    """The parts whose processes still run."""
    return (part for part in state.parts if part.identity.process() is not None)


def end_all(state: StackState) -> list[str]:
    """Ends every part that still runs and returns their names."""
    ended = []
    for part in reversed(list(living(state))):
        process = part.identity.process()
        if process is not None:
            log.info("leftover_ended", name=part.name, pid=part.identity.pid)
            processes.end(process, END_TIMEOUT_S)
            ended.append(part.name)
    return ended
