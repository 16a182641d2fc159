"""The run book in the catalog database: a partial unique index is the lock, a lease finds runs whose process died.

Every write is fenced: it names the run's holder, a random name, and finds no row once the run is another's.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Engine, Row, Update, and_, delete, func, or_, select, text, update
from sqlalchemy.orm import aliased

from services.adapters.sql.engine import insert_into, storable, transaction
from services.adapters.sql.tables import RUNS_KEPT, night_steps, runs
from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from services.domain.runs import NOBODY, Run, RunState

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
            self._expire(connection, kind, now)
            statement = (
                insert_into(connection, runs)
                .values(
                    kind=kind,
                    trigger=trigger,
                    start_time=now,
                    alive_time=now,
                    state=RunState.RUNNING.value,
                    detail="",
                    holder=_new_holder(),
                )
                .on_conflict_do_nothing(index_elements=[runs.c.kind], index_where=text("state = 'running'"))
                .returning(runs)
            )
            row = connection.execute(statement).one_or_none()
            if row is None:
                return None
            oldest = row.run_id - RUNS_KEPT
            connection.execute(delete(night_steps).where(night_steps.c.run_id <= oldest))
            connection.execute(delete(runs).where(runs.c.run_id <= oldest))
        return _run(row)

    def abandoned(self, kind: str) -> Run | None:
        with transaction(self._engine) as connection:
            row = connection.execute(select(runs).where(self._is_abandoned(kind, self._clock.now()))).one_or_none()
        return None if row is None else _run(row)

    def take_over(self, run: Run) -> Run | None:
        taking = (
            held(run)
            .where(runs.c.alive_time == run.alive_time)
            .values(holder=_new_holder(), alive_time=self._clock.now())
            .returning(runs)
        )
        with transaction(self._engine) as connection:
            row = connection.execute(taking).one_or_none()
        return None if row is None else _run(row)

    def keep_alive(self, run: Run) -> bool:
        return self._written(held(run).values(alive_time=self._clock.now()))

    def release(self, run: Run) -> bool:
        return self._written(held(run).values(holder=NOBODY))

    def finish(self, run: Run, state: RunState, *, version: ModelVersion | None = None, detail: str = "") -> bool:
        end_time = self._clock.now()
        detail = storable(detail)
        return self._written(held(run).values(state=state.value, version=version, detail=detail, end_time=end_time))

    def reopen(self, run_id: int) -> bool:
        others = aliased(runs)
        newest = select(func.max(others.c.run_id)).where(others.c.kind == runs.c.kind).scalar_subquery()
        ended = (RunState.FAILED.value, RunState.TIMED_OUT.value, RunState.REFUSED.value)
        return self._written(
            update(runs)
            .where(runs.c.run_id == run_id, runs.c.run_id == newest, runs.c.state.in_(ended))
            .values(state=RunState.RUNNING.value, holder=NOBODY, end_time=None, detail="", alive_time=self._clock.now())
        )

    def fail_abandoned(self, kind: str) -> Sequence[Run]:
        with transaction(self._engine) as connection:
            return self._expire(connection, kind, self._clock.now())

    def newest(self, limit: int, kind: str | None = None) -> Sequence[Run]:
        chosen = select(runs).order_by(runs.c.run_id.desc()).limit(limit)
        if kind is not None:
            chosen = chosen.where(runs.c.kind == kind)
        with transaction(self._engine) as connection:
            return [_run(row) for row in connection.execute(chosen)]

    def _is_abandoned(self, kind: str, now: datetime) -> ColumnElement[bool]:
        """A word from the future is none: the clock was set back, and whoever lives says another one soon."""
        alive = runs.c.alive_time
        silent = or_(runs.c.holder == NOBODY, alive < now - self._lease, alive > now + self._lease)
        return and_(runs.c.kind == kind, runs.c.state == RunState.RUNNING.value, silent)

    def _expire(self, connection: Connection, kind: str, now: datetime) -> list[Run]:
        expiry = (
            update(runs)
            .where(self._is_abandoned(kind, now))
            .values(state=RunState.FAILED.value, end_time=now, detail=_ABANDONED)
            .returning(runs)
        )
        return [_run(row) for row in connection.execute(expiry)]

    def _written(self, change: Update) -> bool:
        with transaction(self._engine) as connection:
            return connection.execute(change).rowcount == 1


def held(run: Run) -> Update:
    """An update that finds the run's row only while it is running and this holder's."""
    return update(runs).where(
        runs.c.run_id == run.run_id, runs.c.state == RunState.RUNNING.value, runs.c.holder == run.holder
    )


def _new_holder() -> str:
    return secrets.token_hex(8)


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
        holder=row.holder,
        alive_time=row.alive_time,
    )
