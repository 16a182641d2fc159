"""Which dead records were sent again, in the catalog database."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, Engine, Row, delete, select, tuple_, update

from services.adapters.sql.engine import exclusive_transaction, insert_into, transaction
from services.adapters.sql.tables import replays as table
from services.domain.dead_letters import Replay, ReplayState
from services.domain.stored_records import Position
from services.domain.streams import Partition

KEPT: Final = timedelta(days=366)  # larger: more rows; smaller: a letter kept for longer could be sent a second time
SOURCES_PER_STATEMENT: Final = 500  # three parameters each; larger: SQLite's limit; smaller: more round trips

_KEY = (table.c.source_topic, table.c.source_partition, table.c.source_offset)


class SqlReplayMemory:
    """Fulfils ReplayMemory."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def recall(self, sources: Collection[Position]) -> Mapping[Position, Replay]:
        with transaction(self._engine) as connection:
            found = [
                _replay(row)
                for batch in _batches(sources)
                for row in connection.execute(select(table).where(tuple_(*_KEY).in_([_key(each) for each in batch])))
            ]
        return {replay.source: replay for replay in found}

    def claim(self, replays: Sequence[Replay], stale: Mapping[Position, Replay]) -> frozenset[Position]:
        if not replays:
            return frozenset()
        with exclusive_transaction(self._engine) as connection:
            connection.execute(delete(table).where(table.c.claim_time < replays[0].claim_time - KEPT))
            return frozenset(
                replay.source for replay in replays if _claimed(connection, replay, stale.get(replay.source))
            )

    def settle(self, sources: Collection[Position]) -> None:
        with transaction(self._engine) as connection:
            for batch in _batches(sources):
                connection.execute(
                    update(table)
                    .where(tuple_(*_KEY).in_([_key(each) for each in batch]))
                    .values(state=ReplayState.SENT.value)
                )


def _claimed(connection: Connection, replay: Replay, earlier: Replay | None) -> bool:
    values = {
        "target_partition": replay.target.partition.number,
        "target_offset": replay.target.offset,
        "claim_time": replay.claim_time,
        "state": replay.state.value,
    }
    if earlier is None:
        topic, number, offset = _key(replay.source)
        key = {"source_topic": topic, "source_partition": number, "source_offset": offset}
        statement = insert_into(connection, table).values(**key, **values).on_conflict_do_nothing()
        return connection.execute(statement.returning(table.c.source_offset)).first() is not None
    unchanged = (
        (tuple_(*_KEY) == _key(replay.source))
        & (table.c.state == ReplayState.SENDING.value)
        & (table.c.claim_time == earlier.claim_time)
    )
    taken_over = update(table).where(unchanged).values(**values).returning(table.c.source_offset)
    return connection.execute(taken_over).first() is not None


def _key(source: Position) -> tuple[str, int, int]:
    return source.partition.topic, source.partition.number, source.offset


def _replay(row: Row[tuple[object, ...]]) -> Replay:
    topic = row.source_topic
    return Replay(
        source=Position(Partition(topic, row.source_partition), row.source_offset),
        target=Position(Partition(topic, row.target_partition), row.target_offset),
        claim_time=row.claim_time,
        state=ReplayState(row.state),
    )


def _batches(sources: Collection[Position]) -> Iterator[list[Position]]:
    ordered = sorted(sources)
    for start in range(0, len(ordered), SOURCES_PER_STATEMENT):
        yield ordered[start : start + SOURCES_PER_STATEMENT]
