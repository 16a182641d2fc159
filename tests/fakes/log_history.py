"""A log's history in memory: its states, oldest first."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from services.domain.log_history import LogState
from services.domain.streams import Partition


class FakeLogHistory:
    def __init__(self, states: Sequence[LogState] = ()) -> None:
        self._states = list(states)

    def now(self, partitions: Iterable[Partition]) -> LogState | None:
        return _asked(self._states[-1], partitions) if self._states else None

    def before(self, moment: datetime, partitions: Iterable[Partition]) -> LogState | None:
        found = [state for state in self._states if state.commit_time <= moment]
        return _asked(found[-1], partitions) if found else None


def _asked(state: LogState, partitions: Iterable[Partition]) -> LogState:
    asked = set(partitions)
    return replace(state, progress={each: known for each, known in state.progress.items() if each in asked})
