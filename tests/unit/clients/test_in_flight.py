"""The producer's bound: memory in flight never exceeds it, and a wait ends when what it waits for is done."""

import threading

import pytest

from nightjar.errors import BufferFull
from nightjar.in_flight import InFlight
from tests.waiting import wait_until


def test_a_full_buffer_says_what_to_do() -> None:
    """Nothing is dropped silently: the sender learns that Kafka is too slow, and how to give it more room."""
    buffer = InFlight(max_bytes=100)
    buffer.reserve(60, timeout_s=0)
    with pytest.raises(BufferFull, match=r"100 bytes stayed full for 0\.01 s.*max_buffer_bytes"):
        buffer.reserve(41, timeout_s=0.01)
    assert len(buffer) == 1


def test_room_given_back_can_be_taken_again() -> None:
    buffer = InFlight(max_bytes=100)
    taken = buffer.reserve(100, timeout_s=0)
    buffer.release(taken)
    buffer.reserve(100, timeout_s=0)
    assert len(buffer) == 1


def test_a_record_larger_than_the_buffer_passes_alone() -> None:
    """Else it could never be sent; with anything before it, it waits."""
    buffer = InFlight(max_bytes=100)
    small = buffer.reserve(1, timeout_s=0)
    with pytest.raises(BufferFull):
        buffer.reserve(500, timeout_s=0)
    buffer.release(small)
    buffer.reserve(500, timeout_s=0)


def test_a_blocked_sender_goes_on_when_there_is_room() -> None:
    buffer = InFlight(max_bytes=100)
    first = buffer.reserve(100, timeout_s=0)
    sender = threading.Thread(target=buffer.reserve, args=(50, 10.0))
    sender.start()
    buffer.release(first)
    sender.join(10.0)
    assert not sender.is_alive()
    assert len(buffer) == 1


def test_a_wait_tells_how_many_are_missing() -> None:
    buffer = InFlight(max_bytes=100)
    first, second = buffer.reserve(1, timeout_s=0), buffer.reserve(1, timeout_s=0)
    assert buffer.wait(timeout_s=0) == 2
    buffer.release(second)
    assert buffer.wait(timeout_s=0) == 1
    buffer.release(first)
    assert buffer.wait(timeout_s=0) == 0


def test_a_wait_ends_although_others_go_on_sending() -> None:
    """A flush in a busy server waits for what was sent before it, not for a pause that never comes."""
    buffer = InFlight(max_bytes=100)
    before = buffer.reserve(1, timeout_s=0)
    missing: list[int] = []
    waiter = threading.Thread(target=lambda: missing.append(buffer.wait(timeout_s=10.0)))
    waiter.start()
    wait_until(lambda: buffer._wave == 1, what="the wait has begun")
    after = buffer.reserve(1, timeout_s=0)
    buffer.release(before)
    waiter.join(10.0)
    assert missing == [0]
    assert len(buffer) == 1
    buffer.release(after)


def test_many_threads_leave_nothing_behind() -> None:
    """Counts and bytes agree after any interleaving, and the bound held all the time."""
    buffer = InFlight(max_bytes=10)

    def send_all() -> None:
        for _ in range(500):
            taken = buffer.reserve(3, timeout_s=10.0)
            assert len(buffer) <= 3
            buffer.release(taken)

    threads = [threading.Thread(target=send_all) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert len(buffer) == 0
    assert buffer.wait(timeout_s=0) == 0
    buffer.reserve(10, timeout_s=0)
