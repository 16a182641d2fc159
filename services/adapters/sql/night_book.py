"""The night book in the catalog database: a row a step, written only by the run's holder."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, or_, select, update

from services.adapters.sql.engine import insert_into, storable, transaction
from services.adapters.sql.run_book import held
from services.adapters.sql.tables import night_steps, runs
from services.domain.nights import MAX_LOG_CHARS, StepRow, StepState
from services.domain.ports import Clock
from services.domain.runs import NOBODY, Run, RunState


class SqlNightBook:
    """Fulfils NightBook."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def steps(self, run_id: int) -> Sequence[StepRow]:
        chosen = select(night_steps).where(night_steps.c.run_id == run_id).order_by(night_steps.c.number)
        with transaction(self._engine) as connection:
            return [_step(row) for row in connection.execute(chosen)]

    def begin(self, run: Run, name: str, inputs: Mapping[str, Any]) -> StepRow | None:
        begun = {
            "state": StepState.RUNNING.value,
            "start_time": self._clock.now(),
            "end_time": None,
            "inputs": dict(inputs),
            "outputs": None,
            "detail": "",
            "log": "",
        }
        with transaction(self._engine) as connection:
            if not self._holds(connection, run):
                return None
            number = select(func.count()).where(night_steps.c.run_id == run.run_id).scalar_subquery()
            statement = (
                insert_into(connection, night_steps)
                .values(run_id=run.run_id, name=name, number=number, attempts=1, **begun)
                .on_conflict_do_update(
                    index_elements=[night_steps.c.run_id, night_steps.c.name],
                    set_={"attempts": night_steps.c.attempts + 1, **begun},
                )
                .returning(night_steps)
            )
            return _step(connection.execute(statement).one())

    def end(
        self,
        run: Run,
        name: str,
        state: StepState,
        *,
        outputs: Mapping[str, Any] | None = None,
        detail: str = "",
        log: str = "",
    ) -> bool:
        ending = (
            update(night_steps)
            .where(night_steps.c.run_id == run.run_id, night_steps.c.name == name)
            .values(
                state=state.value,
                attempts=night_steps.c.attempts - int(state is StepState.INTERRUPTED),
                end_time=self._clock.now(),
                outputs=None if outputs is None else dict(outputs),
                detail=storable(detail),
                log=storable(log)[-MAX_LOG_CHARS:],
            )
        )
        with transaction(self._engine) as connection:
            return self._holds(connection, run) and connection.execute(ending).rowcount == 1

    def accept(self, run_id: int, name: str, detail: str) -> bool:
        acceptance = (
            update(night_steps)
            .where(
                night_steps.c.run_id == run_id,
                night_steps.c.name == name,
                night_steps.c.state == StepState.REFUSED.value,
            )
            .values(state=StepState.ACCEPTED.value, detail=storable(detail))
        )
        with transaction(self._engine) as connection:
            return self._is_idle(connection, run_id) and connection.execute(acceptance).rowcount == 1

    def forgive(self, run_id: int) -> None:
        forgiveness = (
            update(night_steps)
            .where(night_steps.c.run_id == run_id, night_steps.c.state == StepState.FAILED.value)
            .values(attempts=0)
        )
        with transaction(self._engine) as connection:
            if self._is_idle(connection, run_id):
                connection.execute(forgiveness)

    def _holds(self, connection: Connection, run: Run) -> bool:
        """Renews the lease; the run's row then stays locked until the transaction ends."""
        return connection.execute(held(run).values(alive_time=self._clock.now())).rowcount == 1

    def _is_idle(self, connection: Connection, run_id: int) -> bool:
        idle = or_(runs.c.state != RunState.RUNNING.value, runs.c.holder == NOBODY)
        return connection.execute(select(runs.c.run_id).where(runs.c.run_id == run_id, idle)).first() is not None


def _step(row: Row[Any]) -> StepRow:
    return StepRow(
        run_id=row.run_id,
        name=row.name,
        state=StepState(row.state),
        attempts=row.attempts,
        start_time=row.start_time,
        end_time=row.end_time,
        inputs=row.inputs,
        outputs=row.outputs,
        detail=row.detail,
        log=row.log,
    )
