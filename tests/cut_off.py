"""A TCP relay in the test's own event loop that hangs, cuts off, refuses, and comes back, as the test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Relay:
    """Between a client and a server on loopback."""

    def __init__(self, upstream_port: int, tls: ssl.SSLContext | None = None) -> None:
        self._upstream_port = upstream_port
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._writers = set[asyncio.StreamWriter]()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0
        self.num_connections = 0
        self.was_asked = asyncio.Event()
        """Set by every new connection."""

    async def open(self) -> None:
        """Accepts connections, on the same port as before."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cuts off every connection and refuses new ones."""
        if self._server is not None:
            self._server.close()
        self.cut_off()

    def cut_off(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def hang(self) -> None:
        """What is sent from here on gets no answer, until `flow`."""
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_connections += 1
        self.was_asked.set()
        with suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._upstream_port)
            self._writers |= {writer, up_writer}
            await asyncio.gather(self._pump(reader, up_writer), self._pump(up_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                await self._flows.wait()
                writer.write(chunk)
        writer.close()


@asynccontextmanager
async def relay(upstream_port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Relay]:
    made = Relay(upstream_port, tls)
    await made.open()
    try:
        yield made
    finally:
        made.flow()
        await made.close()
