"""pygrpc-native's server with two of its ways mended; imported only where the settings ask for it.

It extends methods that are not public, so pyproject.toml holds the library below its next minor version, and a test
holds each of the two.
"""

from functools import partial
from typing import Any

from pygrpc_native.aio import Server


class NativeServer(Server):
    """A `grpc.aio.Server` that speaks HTTP/2 in threads of Rust, outside the interpreter lock."""

    def _on_events(self, events: list[tuple[Any, ...]]) -> None:
        """Forgets a call also when it was cancelled before its task began.

        A task that is cancelled so early never runs, and what it would do at its end is left undone: under load with
        short deadlines each such call would stay in memory for good.
        """
        super()._on_events(events)
        for _, call_id, *_ in events:
            call = self._calls.get(call_id)
            if call is not None and call.task is not None and call.cancelled:
                call.task.add_done_callback(partial(self._forget, call_id))

    def _forget(self, call_id: int, _: object) -> None:
        self._calls.pop(call_id, None)

    async def stop(self, grace: float | None) -> None:
        """Ends streams at once: they have no end of their own, and no new call is answered while they are waited for.

        The one stream served here is health's, and its watchers were told to go before.
        """
        for call in list(self._calls.values()):
            if call.streaming and call.task is not None:
                call.task.cancel()
        await super().stop(grace)
