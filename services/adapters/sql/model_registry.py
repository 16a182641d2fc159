"""The model registry in the catalog database. Assignments only grow.

Of a version only its verdict, its pin and the end of its bundle are ever written again.

A promotion and the deletion of the same bundle may meet: both lock the version's row first, so one sees the other.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, Row, delete, exists, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from services.adapters.sql.documents import (
    metrics_document,
    metrics_of,
    provenance_document,
    provenance_of,
    verdict_document,
    verdict_of,
)  # fmt: skip
from services.adapters.sql.engine import exclusive_transaction, insert_into, transaction
from services.adapters.sql.tables import assignments, models
from services.adapters.sql.trials import is_on_trial, was_on_trial
from services.domain.errors import BundleDeleted, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Model, Pin, Verdict
from services.domain.ports import Clock


class SqlModelRegistry:
    """Fulfils ModelRegistry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def register(self, model: Model) -> None:
        content = {
            "kind": model.kind,
            "created_time": model.created_time,
            "location": model.location,
            "digest": model.digest,
            "data_version": model.data_version,
            "metrics": metrics_document(model.metrics),
            "origin": model.origin,
            "parent": model.parent,
        }
        provenance = provenance_document(model.provenance)
        verdict = None if model.verdict is None else verdict_document(model.verdict)
        with transaction(self._engine) as connection:
            statement = insert_into(connection, models).values(
                version=model.version, verdict=verdict, provenance=provenance, **content
            )
            connection.execute(statement.on_conflict_do_nothing(index_elements=[models.c.version]))
            stored = connection.execute(select(models).where(models.c.version == model.version)).one()
        differs = any(getattr(stored, name) != value for name, value in content.items())
        # As it is read: the row of an older release has none, where ours says that there is none.
        if differs or provenance_of(stored.provenance) != provenance_of(provenance):
            raise ValueError(f"version {model.version} is registered already, with other content")

    def get(self, version: ModelVersion) -> Model:
        with transaction(self._engine) as connection:
            row = connection.execute(select(models).where(models.c.version == version)).one_or_none()
        if row is None:
            raise _unknown(version)
        return _model(row)

    def newest(self, limit: int) -> Sequence[Model]:
        return self._newest(limit)

    def everything(self) -> Sequence[Model]:
        return self._newest(None)

    def by_origin(self, origin: str) -> Model | None:
        if not origin:
            return None
        query = select(models).where(models.c.origin == origin).order_by(models.c.created_time, models.c.version)
        with transaction(self._engine) as connection:
            row = connection.execute(query.limit(1)).one_or_none()
        return None if row is None else _model(row)

    def judge(self, version: ModelVersion, verdict: Verdict) -> None:
        statement = update(models).where(models.c.version == version).values(verdict=verdict_document(verdict))
        with transaction(self._engine) as connection:
            if connection.execute(statement).rowcount == 0:
                raise _unknown(version)

    def pin(self, version: ModelVersion, pin: Pin | None) -> None:
        words = (
            {"pin_actor": "", "pin_reason": ""} if pin is None else {"pin_actor": pin.actor, "pin_reason": pin.reason}
        )
        there = models.c.version == version, models.c.deleted_time.is_(None)
        with transaction(self._engine) as connection:
            if connection.execute(update(models).where(*there).values(words)).rowcount == 0:
                known = select(models.c.version).where(models.c.version == version)
                raise _unknown(version) if connection.execute(known).first() is None else _deleted(version)

    def retire(self, version: ModelVersion) -> bool:
        chosen = select(models.c.pin_actor, models.c.deleted_time).where(models.c.version == version).with_for_update()
        live = select(assignments.c.version).order_by(assignments.c.generation.desc()).limit(1)
        retiring = update(models).where(models.c.version == version).values(deleted_time=self._clock.now())
        with exclusive_transaction(self._engine) as connection:
            row = connection.execute(chosen).one_or_none()
            if row is None:
                raise _unknown(version)
            if row.pin_actor or connection.execute(live).scalar() == version:
                return False
            if connection.execute(select(is_on_trial(version))).scalar():
                return False
            if row.deleted_time is None:
                connection.execute(retiring)
            return True

    def forget(self, version: ModelVersion) -> bool:
        retired = models.c.version == version, models.c.deleted_time.is_not(None)
        named = exists().where(assignments.c.version == version)
        with transaction(self._engine) as connection:
            return connection.execute(delete(models).where(*retired, ~named, ~was_on_trial(version))).rowcount == 1

    def live(self) -> Assignment | None:
        return next(iter(self.assignments(limit=1)), None)

    def assignments(self, limit: int) -> Sequence[Assignment]:
        query = select(assignments).order_by(assignments.c.generation.desc()).limit(limit)
        with transaction(self._engine) as connection:
            return [Assignment(**row._mapping) for row in connection.execute(query)]

    def assign(
        self,
        version: ModelVersion,
        *,
        actor: str,
        reason: str,
        override: bool,
        expected_generation: int,
        restores: int | None = None,
    ) -> Assignment | None:
        new = Assignment(
            generation=expected_generation + 1,
            version=version,
            actor=actor,
            reason=reason,
            change_time=self._clock.now(),
            override=override,
            restores=restores,
        )
        # The condition refuses a stale caller; of two that pass it at once, the primary key lets in one.
        latest = select(func.coalesce(func.max(assignments.c.generation), 0)).scalar_subquery()
        columns = [column.name for column in assignments.columns]
        values = [literal(getattr(new, column.name), column.type) for column in assignments.columns]
        source = select(*values).where(latest == expected_generation)
        statement = insert(assignments).from_select(columns, source).returning(assignments.c.generation)
        chosen = select(models.c.deleted_time).where(models.c.version == version).with_for_update(read=True)
        try:
            with exclusive_transaction(self._engine) as connection:
                row = connection.execute(chosen).one_or_none()
                if row is None:
                    raise _unknown(version)
                if row.deleted_time is not None:
                    raise _deleted(version)
                return None if connection.execute(statement).one_or_none() is None else new
        except IntegrityError:
            return None  # another caller was first

    def _newest(self, limit: int | None) -> Sequence[Model]:
        query = select(models).order_by(models.c.created_time.desc(), models.c.version.desc()).limit(limit)
        with transaction(self._engine) as connection:
            return [_model(row) for row in connection.execute(query)]


def _model(row: Row[Any]) -> Model:
    return Model(
        version=row.version,
        kind=row.kind,
        created_time=row.created_time,
        location=row.location,
        digest=row.digest,
        data_version=row.data_version,
        metrics=metrics_of(row.metrics),
        verdict=verdict_of(row.verdict),
        origin=row.origin,
        parent=row.parent,
        provenance=provenance_of(row.provenance),
        pin=Pin(row.pin_actor, row.pin_reason) if row.pin_actor else None,
        deleted_time=row.deleted_time,
    )


def _unknown(version: ModelVersion) -> UnknownVersion:
    return UnknownVersion(f"No model has the version {version!r}; `nightjar models list` shows those there are.")


def _deleted(version: ModelVersion) -> BundleDeleted:
    return BundleDeleted(
        f"The bundle of version {version} was deleted by clean-up; `nightjar models list` shows others."
    )
