"""The user directory in the catalog database."""

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Engine, delete, select, true, update

from services.adapters.sql.batches import batches
from services.adapters.sql.catalog_state import lock_catalog
from services.adapters.sql.engine import exclusive_transaction, insert_into, transaction
from services.adapters.sql.tables import erasures, users
from services.domain.ids import UserId
from services.domain.ports import Clock
from services.domain.users import Erasure, User

_ERASED: Final[ColumnElement[bool]] = (
    select(erasures.c.user_id)
    .where(erasures.c.user_id == users.c.user_id, erasures.c.request_time_us >= users.c.update_time_us)
    .exists()
)


class SqlUserDirectory:
    """Fulfils UserDirectory. A user's state and their wish may come in any order, so what is older always gives way."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def upsert(self, states: Sequence[User]) -> None:
        newest: dict[UserId, User] = {}
        for user in states:
            known = newest.get(user.user_id)
            if known is None or user.update_time_us >= known.update_time_us:
                newest[user.user_id] = user
        if not newest:
            return
        with exclusive_transaction(self._engine) as connection:
            lock_catalog(connection)
            insert = insert_into(connection, users)
            new = insert.excluded
            statement = insert.on_conflict_do_update(
                index_elements=[users.c.user_id],
                set_={"attributes": new.attributes, "update_time_us": new.update_time_us},
                where=new.update_time_us >= users.c.update_time_us,
            )
            for batch in batches(list(newest.values())):
                connection.execute(statement, [_row(user) for user in batch])
                written = users.c.user_id.in_([user.user_id for user in batch])
                connection.execute(delete(users).where(written, _ERASED))

    def get(self, user_ids: Sequence[UserId]) -> Mapping[UserId, User]:
        found: dict[UserId, User] = {}
        with transaction(self._engine) as connection:
            for batch in batches(list(dict.fromkeys(user_ids))):
                for row in connection.execute(select(users).where(users.c.user_id.in_(batch))):
                    found[row.user_id] = User(row.user_id, row.attributes, row.update_time_us)
        return found

    def request_erasures(self, wishes: Sequence[Erasure]) -> None:
        newest: dict[UserId, Erasure] = {}
        for wish in wishes:
            known = newest.get(wish.user_id)
            if known is None or wish.request_time_us > known.request_time_us:
                newest[wish.user_id] = wish
        if not newest:
            return
        with exclusive_transaction(self._engine) as connection:
            lock_catalog(connection)
            insert = insert_into(connection, erasures)
            statement = insert.on_conflict_do_update(
                index_elements=[erasures.c.user_id],
                set_={"request_time_us": insert.excluded.request_time_us, "done_time": None},
                where=insert.excluded.request_time_us > erasures.c.request_time_us,
            )
            for batch in batches(list(newest.values())):
                rows = [{"user_id": wish.user_id, "request_time_us": wish.request_time_us} for wish in batch]
                connection.execute(statement, rows)
                named = users.c.user_id.in_([wish.user_id for wish in batch])
                connection.execute(delete(users).where(named, _ERASED))

    def open_erasures(self) -> Sequence[Erasure]:
        return self._wishes(erasures.c.done_time.is_(None))

    def erasures(self) -> Sequence[Erasure]:
        return self._wishes(true())

    def close_erasures(self, done: Sequence[Erasure]) -> None:
        now = self._clock.now()
        with exclusive_transaction(self._engine) as connection:
            lock_catalog(connection)
            for erasure in done:
                fulfilled = (
                    erasures.c.user_id == erasure.user_id,
                    erasures.c.request_time_us <= erasure.request_time_us,
                    erasures.c.done_time.is_(None),
                )
                connection.execute(update(erasures).where(*fulfilled).values(done_time=now))

    def reopen_erasures(self, found: Sequence[Erasure]) -> None:
        with exclusive_transaction(self._engine) as connection:
            lock_catalog(connection)
            for erasure in found:
                noted = (
                    erasures.c.user_id == erasure.user_id,
                    erasures.c.request_time_us <= erasure.request_time_us,
                )
                connection.execute(update(erasures).where(*noted).values(done_time=None))

    def _wishes(self, which: ColumnElement[bool]) -> Sequence[Erasure]:
        query = select(erasures).where(which).order_by(erasures.c.request_time_us, erasures.c.user_id)
        with transaction(self._engine) as connection:
            return [Erasure(row.user_id, row.request_time_us) for row in connection.execute(query)]


def _row(user: User) -> dict[str, object]:
    return {"user_id": user.user_id, "attributes": dict(user.attributes), "update_time_us": user.update_time_us}
