"""Trials of versions in the catalog database. Changes only grow; what workers say is written over.

A change and the deletion of the same bundle may meet: both lock the version's row first, so one sees the other.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Engine, Row, and_, delete, exists, func, insert, literal, select
from sqlalchemy.exc import IntegrityError

from services.adapters.sql.engine import exclusive_transaction, insert_into, storable, transaction
from services.adapters.sql.tables import model_trials, models, trial_reports
from services.domain.errors import BundleDeleted, UnknownVersion
from services.domain.fleet import MAX_PROBLEM
from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from services.domain.trials import ModelTrial, TrialFigures, TrialKind, TrialReport

REPORTS_KEPT: Final = 100  # of so many changes; larger: rows nobody reads; smaller: a long trial loses its figures

_NEWEST: Final = select(func.max(model_trials.c.number)).group_by(model_trials.c.kind)


def is_on_trial(version: ModelVersion) -> ColumnElement[bool]:
    """Whether the newest change of a kind has this version take part, for a query on any table."""
    goes_on = and_(model_trials.c.number.in_(_NEWEST), model_trials.c.share > 0)
    return exists().where(goes_on, model_trials.c.version == version)


def was_on_trial(version: ModelVersion) -> ColumnElement[bool]:
    """Whether the audit log of trials names it."""
    return exists().where(model_trials.c.version == version)


class SqlTrials:
    """Fulfils Trials."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def current(self) -> Sequence[ModelTrial]:
        going_on = model_trials.c.number.in_(_NEWEST), model_trials.c.share > 0
        query = select(model_trials).where(*going_on).order_by(model_trials.c.kind)
        with transaction(self._engine) as connection:
            return [_trial(row) for row in connection.execute(query)]

    def changes(self, limit: int) -> Sequence[ModelTrial]:
        query = select(model_trials).order_by(model_trials.c.number.desc()).limit(limit)
        with transaction(self._engine) as connection:
            return [_trial(row) for row in connection.execute(query)]

    def change(
        self,
        kind: TrialKind,
        version: ModelVersion,
        *,
        share: float,
        actor: str,
        reason: str,
        expected_number: int,
        override: bool = False,
        first: int | None = None,
    ) -> ModelTrial | None:
        number = expected_number + 1
        new = ModelTrial(
            number, kind, version, share, first or number, actor, reason, self._clock.now(), override=override
        )
        # The condition refuses a stale caller; of two that pass it at once, the primary key lets in one.
        latest = select(func.coalesce(func.max(model_trials.c.number), 0)).scalar_subquery()
        values = [literal(getattr(new, column.name), column.type) for column in model_trials.columns]
        source = select(*values).where(latest == expected_number)
        statement = insert(model_trials).from_select([each.name for each in model_trials.columns], source)
        chosen = select(models.c.deleted_time).where(models.c.version == version).with_for_update(read=True)
        try:
            with exclusive_transaction(self._engine) as connection:
                row = connection.execute(chosen).one_or_none()
                if row is None:
                    raise UnknownVersion(f"No model has the version {version!r}; see `nightjar models list`.")
                if row.deleted_time is not None and not new.is_over:
                    raise BundleDeleted(f"The bundle of version {version} was deleted by clean-up.")
                if connection.execute(statement.returning(model_trials.c.number)).one_or_none() is None:
                    return None
                connection.execute(delete(trial_reports).where(trial_reports.c.first <= number - REPORTS_KEPT))
                return new
        except IntegrityError:
            return None  # another caller was first

    def report(self, report: TrialReport) -> None:
        row = {
            "first": report.first,
            "worker_id": report.worker_id,
            "report_time": report.report_time,
            "is_held": report.is_held,
            "problem": storable(report.problem)[:MAX_PROBLEM],
            "figures": report.figures.to_json(),
        }
        with transaction(self._engine) as connection:
            statement = insert_into(connection, trial_reports).values(**row)
            same = [trial_reports.c.first, trial_reports.c.worker_id]
            connection.execute(statement.on_conflict_do_update(index_elements=same, set_=row))

    def reports(self, first: int) -> Sequence[TrialReport]:
        of_it = trial_reports.c.first == first
        query = select(trial_reports).where(of_it).order_by(trial_reports.c.worker_id)
        with transaction(self._engine) as connection:
            return [_report(row) for row in connection.execute(query)]


def _trial(row: Row[Any]) -> ModelTrial:
    return ModelTrial(**{**row._mapping, "kind": TrialKind(row.kind)})


def _report(row: Row[Any]) -> TrialReport:
    return TrialReport(**{**row._mapping, "figures": TrialFigures.from_json(row.figures)})
