"""The way to one Redis server: one pipelined connection, made when it is needed, made anew when it is lost.

A server that cannot be reached is tried in the background, and meanwhile every question fails at once: an answer
without Redis is simpler, and must not be late as well.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from ssl import SSLContext
from typing import Any, Final, Self

from redis.asyncio.connection import RedisSSLContext, SSLConnection, parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from services.adapters.redis_store.pipelined import Command, PipelinedConnection, Word

PAUSE_S: Final = 0.25  # between two tries. Larger: answers stay simpler after Redis is back; smaller: needless tries

FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What a call may raise that means: Redis did not answer."""


@dataclass(frozen=True)
class Address:
    """Where a server is, and how it lets us in."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    """Of a Unix socket, instead of host and port."""
    username: str | None = None
    password: str | None = None
    db: int = 0
    tls: SSLContext | None = None

    @classmethod
    def of(cls, url: str) -> Self:
        """From redis://, rediss:// or unix://, with the options of redis-py."""
        parts: dict[str, Any] = dict(parse_url(url))
        if parts.pop("connection_class", None) is SSLConnection:
            context: RedisSSLContext = SSLConnection(**parts).ssl_context
            parts["tls"] = context.get()
        return cls(**{name: value for name, value in parts.items() if name in cls.__dataclass_fields__})

    def on(self, host: str, port: int) -> "Address":
        """Another server that lets us in alike."""
        return replace(self, host=host, port=port, path=None)

    @property
    def greeting(self) -> list[Command]:
        """What a new connection says first."""
        said: list[Command] = []
        if self.password is not None:
            said.append(("AUTH", *((self.username,) if self.username else ()), self.password))
        if self.db:
            said.append(("SELECT", self.db))
        return said


class Link:
    """timeout_s: how long an answer may take, and how long it may take to connect."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connection: PipelinedConnection | None = None
        self._connecting: asyncio.Task[PipelinedConnection] | None = None
        self._away: BaseException | None = None
        """Why the last try to connect failed; None: it did not."""
        self._is_closed = False

    def ask(self, *command: Word) -> Awaitable[Any]:
        """See PipelinedConnection; raises one of FAILURES."""
        if self._connection is not None and self._connection.is_open:
            return self._connection.ask(*command)
        return self._when_connected(lambda connection: connection.ask(*command))

    def ask_at_once(self, commands: Sequence[Command]) -> Awaitable[list[Any]]:
        """As `ask`: a transaction."""
        if self._connection is not None and self._connection.is_open:
            return self._connection.ask_at_once(commands)
        return self._when_connected(lambda connection: connection.ask_at_once(commands))

    async def aclose(self) -> None:
        self._is_closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._connection is not None:
            self._connection.close()

    async def _when_connected(self, question: Callable[[PipelinedConnection], Awaitable[Any]]) -> Any:
        if self._connecting is None and not self._is_closed:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connected)
        if self._away is not None or self._connecting is None:
            raise RedisConnectionError(f"Redis is away: {self._away or 'the connection was closed'}")
        return await question(await asyncio.shield(self._connecting))

    async def _connect(self) -> PipelinedConnection:
        """Of a server that was away before: tries until it is back."""
        while True:
            try:
                return await self._try_to_connect()
            except FAILURES:
                if self._away is None:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def _try_to_connect(self) -> PipelinedConnection:
        loop, address = asyncio.get_running_loop(), self._address
        connection = PipelinedConnection(self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                if address.path is not None:
                    await loop.create_unix_connection(lambda: connection, address.path)
                else:
                    name = address.host if address.tls is not None else None
                    await loop.create_connection(
                        lambda: connection, address.host, address.port, ssl=address.tls, server_hostname=name
                    )
                for command in address.greeting:
                    await connection.ask(*command)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self, task: "asyncio.Task[PipelinedConnection]") -> None:
        self._connecting = None
        if task.cancelled():
            return
        self._away = task.exception()
        if self._away is None:
            self._connection = task.result()
