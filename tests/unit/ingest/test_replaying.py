"""A dead record is sent again once in effect, whatever crashes in between."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from services.domain.dead_letters import Replay
from services.domain.stored_records import Position
from services.domain.streams import Partition, Record
from services.ingest.replaying import LEASE, REPLAY_HEADER, Outcome, Replaying
from tests.fakes.broker import FakeBroker, FakeReplayMemory
from tests.fakes.clock import FakeClock

TOPIC = [Partition("events", number) for number in range(3)]
SOURCE = Position(TOPIC[1], 17)
RECORD = Record(TOPIC[1], 17, b"mended", "application/json", b"ada")


class Killed(Exception):
    """What a process that is killed at this step leaves behind."""


class KilledBeforeSending(FakeBroker):
    def send(self, records: Sequence[tuple[Record, Mapping[str, bytes]]], within_s: float) -> int:
        raise Killed


class KilledAfterSending(FakeBroker):
    def send(self, records: Sequence[tuple[Record, Mapping[str, bytes]]], within_s: float) -> int:
        super().send(records, within_s)
        raise Killed


def replaying(broker: FakeBroker, memory: FakeReplayMemory, clock: FakeClock) -> Replaying:
    return Replaying(memory, broker, broker, broker, clock)


def sent(broker: FakeBroker) -> list[tuple[bytes | None, bytes]]:
    return [(each.record.value, each.headers[REPLAY_HEADER]) for each in broker.read(broker.ranges(TOPIC))]


def test_a_record_is_sent_with_its_first_place_in_a_header() -> None:
    broker = FakeBroker(TOPIC)
    assert replaying(broker, FakeReplayMemory(), FakeClock()).replay({SOURCE: RECORD}) == {SOURCE: Outcome.SENT}
    assert sent(broker) == [(b"mended", b"events/1/17")]


def test_it_goes_to_the_partition_of_its_key() -> None:
    broker = FakeBroker(TOPIC)
    replaying(broker, FakeReplayMemory(), FakeClock()).replay({SOURCE: RECORD})
    (found,) = broker.read(broker.ranges(TOPIC))
    assert found.record.partition == broker.place("events", b"ada")


def test_a_second_time_is_refused_for_good() -> None:
    """Also from another process, also long after."""
    broker, memory, clock = FakeBroker(TOPIC), FakeReplayMemory(), FakeClock()
    replaying(broker, memory, clock).replay({SOURCE: RECORD})
    clock.advance(10 * LEASE.total_seconds())
    assert replaying(broker, memory, clock).replay({SOURCE: RECORD}) == {SOURCE: Outcome.ALREADY_SENT}
    assert len(sent(broker)) == 1


def test_a_batch_sends_only_what_was_not_sent() -> None:
    broker, memory, clock = FakeBroker(TOPIC), FakeReplayMemory(), FakeClock()
    other = Position(TOPIC[2], 4)
    replaying(broker, memory, clock).replay({SOURCE: RECORD})
    outcomes = replaying(broker, memory, clock).replay({SOURCE: RECORD, other: RECORD})
    assert outcomes == {SOURCE: Outcome.ALREADY_SENT, other: Outcome.SENT}
    assert [header for _, header in sent(broker)] == [b"events/1/17", b"events/2/4"]


@pytest.mark.parametrize(
    ("killed", "then"), [(KilledBeforeSending, Outcome.SENT), (KilledAfterSending, Outcome.ALREADY_SENT)]
)
def test_a_crash_between_send_and_remember_is_looked_into(killed: Callable[..., FakeBroker], then: Outcome) -> None:
    """Once the claim's lease is over, the topic itself says whether the record arrived; either way it is there once."""
    broker, memory, clock = killed(TOPIC), FakeReplayMemory(), FakeClock()
    with pytest.raises(Killed):
        replaying(broker, memory, clock).replay({SOURCE: RECORD})
    for other in range(5):
        broker.append(Record(broker.place("events", b"ada"), 0, b"%d" % other))
    broker.__class__ = FakeBroker  # the next process is not killed
    clock.advance(LEASE.total_seconds() + 1)
    assert replaying(broker, memory, clock).replay({SOURCE: RECORD}) == {SOURCE: then}
    mine = [each for each in broker.read(broker.ranges(TOPIC)) if REPLAY_HEADER in each.headers]
    assert len(mine) == 1
    assert replaying(broker, memory, clock).replay({SOURCE: RECORD}) == {SOURCE: Outcome.ALREADY_SENT}


def test_a_claim_within_its_lease_is_left_alone() -> None:
    """Its command may still be sending."""
    broker, memory, clock = KilledBeforeSending(TOPIC), FakeReplayMemory(), FakeClock()
    with pytest.raises(Killed):
        replaying(broker, memory, clock).replay({SOURCE: RECORD})
    clock.advance(LEASE.total_seconds() - 1)
    assert replaying(broker, memory, clock).replay({SOURCE: RECORD}) == {SOURCE: Outcome.BEING_SENT}


class SlowMemory(FakeReplayMemory):
    """A catalog that takes its time for a claim."""

    def __init__(self, clock: FakeClock, claim_s: float) -> None:
        super().__init__()
        self._clock, self._claim_s = clock, claim_s

    def claim(self, replays: Sequence[Replay], stale: Mapping[Position, Replay]) -> frozenset[Position]:
        self._clock.advance(self._claim_s)
        return super().claim(replays, stale)


@pytest.mark.parametrize(("claim_s", "num_sent"), [(0.0, 6), (25.0, 4), (LEASE.total_seconds() + 1, 0)])
def test_nothing_is_sent_once_its_claim_is_over(claim_s: float, num_sent: int) -> None:
    """A broker that takes 10 s a record: what was not begun in time stays open, and is sent once by the next try."""
    broker, clock = FakeBroker(TOPIC), FakeClock()
    broker.record_s = 10.0
    memory = SlowMemory(clock, claim_s)
    wanted = {Position(TOPIC[1], offset): RECORD for offset in range(8)}
    outcomes = list(replaying(broker, memory, clock).replay(wanted).values())
    assert outcomes.count(Outcome.SENT) == num_sent
    assert outcomes.count(Outcome.OPEN) == 8 - num_sent
    assert len(sent(broker)) == num_sent
    broker.record_s = memory._claim_s = 0.0
    clock.advance(LEASE.total_seconds() + 1)
    again = list(replaying(broker, memory, clock).replay(wanted).values())
    assert again.count(Outcome.ALREADY_SENT) == num_sent
    assert len(sent(broker)) == 8


def test_what_kafka_no_longer_holds_cannot_be_known_and_is_not_guessed() -> None:
    broker, memory, clock = KilledAfterSending(TOPIC), FakeReplayMemory(), FakeClock()
    with pytest.raises(Killed):
        replaying(broker, memory, clock).replay({SOURCE: RECORD})
    broker.delete_before({broker.place("events", b"ada"): 1})
    clock.advance(LEASE.total_seconds() + 1)
    assert replaying(broker, memory, clock).replay({SOURCE: RECORD}) == {SOURCE: Outcome.UNKNOWABLE}


def test_asking_what_is_known_changes_nothing() -> None:
    broker, memory, clock = FakeBroker(TOPIC), FakeReplayMemory(), FakeClock()
    assert replaying(broker, memory, clock).known([SOURCE]) == {}
    assert memory.recall([SOURCE]) == {}
