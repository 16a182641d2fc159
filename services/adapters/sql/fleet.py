"""The serving workers in the catalog database, and the one row that is the open preparation."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, Row, and_, delete, or_, select, true, update

from services.adapters.sql.engine import insert_into, storable, transaction
from services.adapters.sql.tables import preparations, serving_workers
from services.domain.fleet import FORGOTTEN_AFTER, GRACE, MAX_PROBLEM, Preparation, ServingWorker
from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from services.domain.vitals import Vitals

THE_ROW: Final = 1  # the migration writes it; whoever changes it has it to themselves until the transaction ends


class SqlFleet:
    """Fulfils Fleet."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def report(self, worker: ServingWorker) -> None:
        problem = storable(worker.problem)[:MAX_PROBLEM]
        row = {**asdict(worker), "held": list(worker.held), "problem": problem, "vitals": worker.vitals.to_json()}
        long_gone = serving_workers.c.alive_time < self._clock.now() - FORGOTTEN_AFTER
        with transaction(self._engine) as connection:
            statement = insert_into(connection, serving_workers).values(**row)
            same = [serving_workers.c.worker_id]
            connection.execute(statement.on_conflict_do_update(index_elements=same, set_=row))
            connection.execute(
                delete(serving_workers).where(long_gone, serving_workers.c.worker_id != worker.worker_id)
            )

    def leave(self, worker_id: str) -> None:
        with transaction(self._engine) as connection:
            connection.execute(delete(serving_workers).where(serving_workers.c.worker_id == worker_id))

    def workers(self) -> Sequence[ServingWorker]:
        query = select(serving_workers).order_by(serving_workers.c.replica, serving_workers.c.worker_id)
        with transaction(self._engine) as connection:
            return [_worker(row) for row in connection.execute(query)]

    def preparation(self) -> Preparation | None:
        query = select(preparations).where(preparations.c.row_id == THE_ROW, preparations.c.is_open)
        with transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        preparation = _preparation(row)
        return None if preparation.is_over(self._clock.now()) else preparation

    def open(
        self, version: ModelVersion, expected_generation: int, deadline: datetime, *, preempt: bool = False
    ) -> Preparation | None:
        is_free = or_(~preparations.c.is_open, preparations.c.deadline < self._clock.now() - GRACE)
        statement = (
            update(preparations)
            .where(preparations.c.row_id == THE_ROW, true() if preempt else is_free)
            .values(
                number=preparations.c.number + 1,
                version=version,
                expected_generation=expected_generation,
                deadline=deadline,
                is_open=True,
            )
            .returning(preparations)
        )
        with transaction(self._engine) as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _preparation(row)

    def close(self, number: int) -> None:
        mine = and_(preparations.c.row_id == THE_ROW, preparations.c.number == number)
        with transaction(self._engine) as connection:
            connection.execute(update(preparations).where(mine).values(is_open=False))


def _worker(row: Row[Any]) -> ServingWorker:
    return ServingWorker(**{**row._mapping, "held": tuple(row.held), "vitals": Vitals.from_json(row.vitals)})


def _preparation(row: Row[Any]) -> Preparation:
    return Preparation(row.number, row.version, row.expected_generation, row.deadline)
