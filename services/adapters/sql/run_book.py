"""The run book in the catalog database: a partial unique index is the lock, a lease finds runs whose process died."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Update, delete, select, text, update

from services.adapters.sql.engine import insert_into, transaction
from services.adapters.sql.tables import RUNS_KEPT, runs
from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from services.domain.runs import Run, RunState

LEASE_S: Final = 60.0  # larger: a crashed run blocks the next one longer; smaller: a slow database loses a live run
_ABANDONED = "The process that ran it is gone; `nightjar schedule run-now` starts another run."


class SqlRunBook:
    """Fulfils RunBook. `lease_s`: seconds without keep_alive after which a run counts as abandoned."""

    def __init__(self, engine: Engine, clock: Clock, lease_s: float = LEASE_S) -> None:
        self._engine = engine
        self._clock = clock
        self._lease = timedelta(seconds=lease_s)

    def begin(self, kind: str, trigger: str) -> Run | None:
        now = self._clock.now()
        with transaction(self._engine) as connection:
            self._expire(connection, now)
            statement = (
                insert_into(connection, runs)
                .values(
                    kind=kind, trigger=trigger, start_time=now, alive_time=now, state=RunState.RUNNING.value, detail=""
                )
                .on_conflict_do_nothing(index_elements=[runs.c.kind], index_where=text("state = 'running'"))
                .returning(runs)
            )
            row = connection.execute(statement).one_or_none()
            if row is None:
                return None
            connection.execute(delete(runs).where(runs.c.run_id <= row.run_id - RUNS_KEPT))
        return _run(row)

    def keep_alive(self, run_id: int) -> bool:
        with transaction(self._engine) as connection:
            renewal = _running(run_id).values(alive_time=self._clock.now())
            return connection.execute(renewal).rowcount == 1

    def finish(self, run_id: int, state: RunState, *, version: ModelVersion | None = None, detail: str = "") -> bool:
        ending = _running(run_id).values(
            state=state.value, version=version, detail=detail.replace("\0", "\ufffd"), end_time=self._clock.now()
        )
        with transaction(self._engine) as connection:
            return connection.execute(ending).rowcount == 1

    def fail_abandoned(self) -> Sequence[Run]:
        with transaction(self._engine) as connection:
            return self._expire(connection, self._clock.now())

    def newest(self, limit: int) -> Sequence[Run]:
        with transaction(self._engine) as connection:
            return [_run(row) for row in connection.execute(select(runs).order_by(runs.c.run_id.desc()).limit(limit))]

    def _expire(self, connection: Connection, now: datetime) -> list[Run]:
        expiry = (
            update(runs)
            .where(runs.c.state == RunState.RUNNING.value, runs.c.alive_time < now - self._lease)
            .values(state=RunState.FAILED.value, end_time=now, detail=_ABANDONED)
            .returning(runs)
        )
        return [_run(row) for row in connection.execute(expiry)]


def _running(run_id: int) -> Update:
    return update(runs).where(runs.c.run_id == run_id, runs.c.state == RunState.RUNNING.value)


def _run(row: Row[Any]) -> Run:
    return Run(
        run_id=row.run_id,
        kind=row.kind,
        trigger=row.trigger,
        start_time=row.start_time,
        state=RunState(row.state),
        end_time=row.end_time,
        version=row.version,
        detail=row.detail,
    )
