"""The ReplayMemory port: of several who want to send a record again, one may, and it is never forgotten."""

from datetime import timedelta
from pathlib import Path

import pytest

from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.replay_memory import KEPT, SqlReplayMemory
from services.domain.dead_letters import Replay, ReplayState
from services.domain.ports import ReplayMemory
from services.domain.stored_records import Position
from services.domain.streams import Partition
from tests.fakes.broker import FakeReplayMemory
from tests.fakes.clock import START

SOURCES = [Position(Partition("events", 1), offset) for offset in range(1_200)]


def claim_of(source: Position, after_s: float = 0) -> Replay:
    return Replay(source, Position(Partition("events", 2), 99), START + timedelta(seconds=after_s))


def sql(url: str) -> SqlReplayMemory:
    upgrade(url)
    return SqlReplayMemory(connect(url))


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> ReplayMemory:
    if request.param == "fake":
        return FakeReplayMemory()
    if request.param == "sqlite":
        return sql(f"sqlite:///{tmp_path / 'catalog.db'}")
    return sql(request.getfixturevalue("postgres_url"))


def test_a_claim_is_remembered_as_it_was_made(memory: ReplayMemory) -> None:
    assert memory.claim([claim_of(SOURCES[0])], {}) == {SOURCES[0]}
    assert memory.recall(SOURCES[:3]) == {SOURCES[0]: claim_of(SOURCES[0])}


def test_only_the_first_claim_of_a_source_counts(memory: ReplayMemory) -> None:
    memory.claim([claim_of(SOURCES[0])], {})
    assert memory.claim([claim_of(SOURCES[0], 5), claim_of(SOURCES[1], 5)], {}) == {SOURCES[1]}
    assert memory.recall([SOURCES[0]])[SOURCES[0]].claim_time == START


def test_a_stale_claim_is_taken_over_by_one_of_two(memory: ReplayMemory) -> None:
    first = claim_of(SOURCES[0])
    memory.claim([first], {})
    assert memory.claim([claim_of(SOURCES[0], 90)], {SOURCES[0]: first}) == {SOURCES[0]}
    assert memory.claim([claim_of(SOURCES[0], 91)], {SOURCES[0]: first}) == frozenset()


def test_what_was_settled_stays_settled(memory: ReplayMemory) -> None:
    first = claim_of(SOURCES[0])
    memory.claim([first], {})
    memory.settle([SOURCES[0]])
    assert memory.recall([SOURCES[0]])[SOURCES[0]].state is ReplayState.SENT
    assert memory.claim([claim_of(SOURCES[0], 90)], {SOURCES[0]: first}) == frozenset()


def test_many_at_once(memory: ReplayMemory) -> None:
    """More than one statement holds."""
    memory.claim([claim_of(source) for source in SOURCES], {})
    memory.settle(SOURCES[:-1])
    found = memory.recall(SOURCES)
    assert len(found) == len(SOURCES)
    assert [source for source in SOURCES if found[source].state is ReplayState.SENDING] == [SOURCES[-1]]


def test_the_memory_is_bounded_by_age(tmp_path: Path) -> None:
    """Law 9."""
    memory = sql(f"sqlite:///{tmp_path / 'catalog.db'}")
    memory.claim([claim_of(SOURCES[0])], {})
    memory.claim([claim_of(SOURCES[1], KEPT.total_seconds() + 1)], {})
    assert set(memory.recall(SOURCES[:2])) == {SOURCES[1]}
