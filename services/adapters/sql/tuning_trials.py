"""Studies and trials in the catalog database: a trial's primary key is the claim of its number."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, select, update

from services.adapters.sql.engine import insert_into, storable, transaction
from services.adapters.sql.tables import STUDIES_KEPT
from services.adapters.sql.tables import tuning_studies as studies
from services.adapters.sql.tables import tuning_trials as table
from services.domain.ports import Clock
from services.domain.tuning import Study, Trial, TrialState

_LOST = "It took longer than its limit: its worker died, or hangs."


class SqlTuningTrials:
    """Fulfils TuningTrials."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def study(self, name: str) -> Study | None:
        with transaction(self._engine) as connection:
            row = connection.execute(select(studies).where(studies.c.name == name)).one_or_none()
        return None if row is None else _study(row)

    def open(self, study: Study) -> Study:
        with transaction(self._engine) as connection:
            connection.execute(insert_into(connection, studies).values(**asdict(study)).on_conflict_do_nothing())
            stored = _study(connection.execute(select(studies).where(studies.c.name == study.name)).one())
            _forget_the_oldest(connection)
        return stored

    def all(self, study: str) -> Sequence[Trial]:
        now = self._clock.now()
        overdue = (
            update(table)
            .where(table.c.study == study, table.c.state == TrialState.RUNNING.value, table.c.limit_time < now)
            .values(state=TrialState.LOST.value, end_time=now, detail=_LOST)
        )
        with transaction(self._engine) as connection:
            connection.execute(overdue)
            rows = connection.execute(select(table).where(table.c.study == study).order_by(table.c.number)).all()
        return [_trial(row) for row in rows]

    def begin(self, trial: Trial) -> bool:
        with transaction(self._engine) as connection:
            statement = insert_into(connection, table).values(**asdict(trial)).on_conflict_do_nothing()
            return connection.execute(statement.returning(table.c.number)).first() is not None

    def finish(self, trial: Trial) -> bool:
        mine = (table.c.study == trial.study) & (table.c.number == trial.number) & (table.c.worker == trial.worker)
        ending = (
            update(table)
            .where(mine, table.c.state == TrialState.RUNNING.value)
            .values(
                state=trial.state.value,
                ndcg_at_10=trial.ndcg_at_10,
                epoch_ndcgs=trial.epoch_ndcgs,
                end_time=self._clock.now(),
                detail=storable(trial.detail),
            )
        )
        with transaction(self._engine) as connection:
            return connection.execute(ending).rowcount == 1


def _forget_the_oldest(connection: Connection) -> None:
    newest_first = select(studies.c.name).order_by(studies.c.create_time.desc(), studies.c.name)
    old = connection.scalars(newest_first.offset(STUDIES_KEPT)).all()
    if old:
        connection.execute(delete(table).where(table.c.study.in_(old)))
        connection.execute(delete(studies).where(studies.c.name.in_(old)))


def _study(row: Row[Any]) -> Study:
    return Study(**row._mapping)


def _trial(row: Row[Any]) -> Trial:
    values = dict(row._mapping)
    return Trial(**{**values, "state": TrialState(row.state), "epoch_ndcgs": tuple(row.epoch_ndcgs)})
