"""The log's commits as a history: how far every partition was stored now, and at an earlier moment."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from services.adapters.delta_log.log import progress_of
from services.domain.errors import EventLogDown
from services.domain.log_history import LogState
from services.domain.streams import Partition

COMMITS_SEARCHED: Final = 1_000  # larger: slower to answer; smaller: a busy log's last minute is not reached


class DeltaLogHistory:
    """Implements the LogHistory port on a folder; writes nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def now(self, partitions: Iterable[Partition]) -> LogState | None:
        table = self._table()
        if table is None:
            return None
        (commit,) = table.history(1)
        return _state(table, commit, partitions)

    def before(self, moment: datetime, partitions: Iterable[Partition]) -> LogState | None:
        table = self._table()
        commits = [] if table is None else table.history(COMMITS_SEARCHED)
        found = next((commit for commit in commits if _time_of(commit) <= moment), None)
        table = None if found is None else self._table(found["version"])
        return None if table is None or found is None else _state(table, found, partitions)

    def _table(self, version: int | None = None) -> DeltaTable | None:
        try:
            return DeltaTable(self._folder, version=version)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            if version is not None:
                return None  # its log entries were cleaned up: what was known then is not known any more
            raise EventLogDown(
                f"The event log in {self._folder} cannot be read ({error}); mend its disk, or its rights."
            ) from error


def _state(table: DeltaTable, commit: dict[str, Any], partitions: Iterable[Partition]) -> LogState:
    stored = {partition: progress_of(table, partition) for partition in partitions}
    return LogState(
        version=table.version(),
        commit_time=_time_of(commit),
        progress={partition: progress for partition, progress in stored.items() if progress is not None},
    )


def _time_of(commit: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(commit["timestamp"] / 1_000, UTC)
