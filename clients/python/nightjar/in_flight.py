"""The producer's bound: what is sent but not reported yet, in bytes, and the wait until all of it is."""

import threading
from typing import NamedTuple

from nightjar.errors import BufferFull


class Reservation(NamedTuple):
    """One record's share of the buffer."""

    wave: int
    size_bytes: int


class InFlight:
    """Counts records between `reserve` and `release`. Safe for any number of threads.

    A wave is all that was reserved between two calls of `wait`; so a wait ends although others go on sending.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        # Blocked senders wake only below this mark: one that woke at every release would fight the I/O thread.
        self._wake_bytes = max_bytes * 7 // 8
        self._used_bytes = 0
        self._wave = 0
        self._num_records = {0: 0}
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)

    def reserve(self, size_bytes: int, timeout_s: float) -> Reservation:
        """Takes room, blocking up to timeout_s while there is none; raises BufferFull after it.

        A record larger than the whole buffer is let in when the buffer is empty, so that it is sent at all.
        """
        with self._lock:
            if not self._has_room(size_bytes) and not self._room.wait_for(
                lambda: self._has_room(size_bytes), timeout_s
            ):
                raise BufferFull(
                    f"The buffer of {self._max_bytes} bytes stayed full for {timeout_s:g} s: Kafka takes events more "
                    "slowly than they are sent, or not at all. Send more slowly, check the broker, or give the "
                    "EventProducer a larger max_buffer_bytes or max_block_s."
                )
            self._used_bytes += size_bytes
            self._num_records[self._wave] += 1
            return Reservation(self._wave, size_bytes)

    def release(self, reservation: Reservation) -> None:
        """Gives the room back; call exactly once a reservation."""
        with self._lock:
            self._used_bytes -= reservation.size_bytes
            self._num_records[reservation.wave] -= 1
            if self._num_records[reservation.wave] == 0:
                self._done.notify_all()
            if self._used_bytes <= self._wake_bytes:
                self._room.notify_all()

    def wait(self, timeout_s: float) -> int:
        """Blocks until all that was reserved before is released; returns how many records are not, 0 for all done."""
        with self._lock:
            waves = tuple(wave for wave, count in self._num_records.items() if count)
            self._wave += 1
            self._num_records = {wave: self._num_records[wave] for wave in waves} | {self._wave: 0}
            self._done.wait_for(lambda: self._count(waves) == 0, timeout_s)
            return self._count(waves)

    def __len__(self) -> int:
        """Records in flight now."""
        with self._lock:
            return sum(self._num_records.values())

    def _count(self, waves: tuple[int, ...]) -> int:
        return sum(self._num_records.get(wave, 0) for wave in waves)

    def _has_room(self, size_bytes: int) -> bool:
        return self._used_bytes + size_bytes <= self._max_bytes or self._used_bytes == 0
