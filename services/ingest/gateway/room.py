"""The gateway's bound: bytes on their way to Kafka, refused or waited for beyond it."""

import asyncio

from services.domain.errors import Overloaded


class Room:
    """Belongs to one event loop. Who waits is served in order, so that a large batch is not passed over for ever."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._used_bytes = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, size_bytes: int, timeout_s: float = 0.0) -> None:
        """Takes room, or waits up to timeout_s for it; raises Overloaded.

        More than all the room is let in when nothing else is, so that it is sent at all.
        """
        try:
            async with asyncio.timeout(timeout_s), self._turn:
                while not self._fits(size_bytes):
                    self._freed.clear()
                    await self._freed.wait()
                self._used_bytes += size_bytes
        except TimeoutError as error:
            raise Overloaded(
                f"{self._used_bytes} bytes of events are on their way to Kafka, and at most {self._max_bytes} may be; "
                "send the same events again after a pause, or set NIGHTJAR_GATEWAY__MAX_BUFFER_BYTES higher."
            ) from error

    def give_back(self, size_bytes: int) -> None:
        """Once for each `take` that returned."""
        self._used_bytes -= size_bytes
        self._freed.set()

    def _fits(self, size_bytes: int) -> bool:
        return self._used_bytes + size_bytes <= self._max_bytes or self._used_bytes == 0
