"""Training runs in the catalog database: a row a run, written over as it goes on."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine, Row, delete, select

from services.adapters.sql.engine import insert_into, storable, transaction
from services.adapters.sql.tables import TRAINING_RUNS_KEPT
from services.adapters.sql.tables import training_runs as table
from services.domain.training_runs import TrainingRun, TrainingState

_NEWEST_FIRST = (table.c.start_time.desc(), table.c.run_id.desc())


class SqlTrainingRuns:
    """Fulfils TrainingRuns."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, run: TrainingRun) -> None:
        row = {**asdict(run), "state": run.state.value, "detail": storable(run.detail)}
        with transaction(self._engine) as connection:
            statement = insert_into(connection, table).values(**row)
            connection.execute(statement.on_conflict_do_update(index_elements=[table.c.run_id], set_=row))
            old = connection.scalars(select(table.c.run_id).order_by(*_NEWEST_FIRST).offset(TRAINING_RUNS_KEPT)).all()
            if old:
                connection.execute(delete(table).where(table.c.run_id.in_(old)))

    def newest(self, limit: int) -> Sequence[TrainingRun]:
        with transaction(self._engine) as connection:
            rows = connection.execute(select(table).order_by(*_NEWEST_FIRST).limit(limit)).all()
        return [_run(row) for row in rows]


def _run(row: Row[Any]) -> TrainingRun:
    return TrainingRun(**{**row._mapping, "state": TrainingState(row.state)})
