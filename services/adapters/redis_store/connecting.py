"""How serving reaches Redis: asyncio, failing fast, one server or a Cluster alike."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import redis.asyncio
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

MAX_CONNECTIONS: Final = (
    64  # larger: more sockets a worker; smaller: bursts wait for one another. Beyond it calls wait.
)
FAILURES: Final = (RedisError, OSError, TimeoutError)
"""What a call may raise that means: Redis did not answer."""
_MOVES: Final = (AskError, ClusterDownError, RedisConnectionError)  # MovedError is an AskError

T = TypeVar("T")


def connect(url: str, timeout_s: float, **address: Any) -> "redis.asyncio.Redis":
    """A client that fails fast: a slow store must degrade an answer, not delay it. One retry mends a stale socket.

    address: host and port, where they are not those of the url.
    """
    pool = redis.asyncio.BlockingConnectionPool(
        **{
            **parse_url(url),
            **address,
            "max_connections": MAX_CONNECTIONS,
            "timeout": timeout_s,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),  # a timeout is not tried again
        }
    )
    return redis.asyncio.Redis.from_pool(pool)


class Store:
    """One Redis, or the Redis Cluster that the address is a node of: which one is asked with the first call.

    A Cluster is read through one plain client a node: redis-py's own (8.1) starts a thread for each command of a
    transaction. While an operator moves a slot, users that are at its new node already are not read: FAILURES.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._named = connect(url, timeout_s)
        self._is_cluster: bool | None = None
        self._owners: list[redis.asyncio.Redis] = []
        """The client of each slot's node; empty without a Cluster."""
        self._clients: dict[tuple[str, int], redis.asyncio.Redis] = {}
        self._learning = asyncio.Lock()

    async def ask(self, key: bytes, question: Callable[["redis.asyncio.Redis"], Awaitable[T]]) -> T:
        """Asks the node that has the key; once more when the Cluster has changed. Raises one of FAILURES."""
        if self._is_cluster is None:
            await self._learn(self._owners)
        if not self._is_cluster:
            return await question(self._named)
        owners = self._owners
        try:
            return await question(owners[key_slot(key)])
        except _MOVES:
            await self._learn(owners)
            return await question(self._owners[key_slot(key)])

    async def aclose(self) -> None:
        for client in (self._named, *self._clients.values()):
            await client.aclose()

    async def _learn(self, known: "list[redis.asyncio.Redis]") -> None:
        """Asks who owns which slot, unless another call has done so since `known`."""
        async with self._learning:
            if self._is_cluster is False or self._owners is not known:
                return
            if self._is_cluster is None and not (await self._named.info("cluster"))["cluster_enabled"]:
                self._is_cluster = False
            else:
                self._owners = self._by_slot(await self._slots())
                self._is_cluster = True

    async def _slots(self) -> list[Any]:
        """For each range: first and last slot, then its nodes, the primary first.

        Whichever node answers first is asked; the one that was named may be gone.
        """
        failure: Exception | None = None
        for client in (self._named, *self._clients.values()):
            try:
                slots: Any = client.execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                return list(await slots)
            except FAILURES as error:
                failure = error
        raise RedisConnectionError("no node of the Cluster answers") from failure

    def _by_slot(self, ranges: list[Any]) -> "list[redis.asyncio.Redis]":
        owners = [self._named] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in ranges:
            # A node that does not know its own name is the one that was asked.
            address = (host.decode() if host else parse_url(self._url).get("host", "localhost"), port)
            if address not in self._clients:
                self._clients[address] = connect(self._url, self._timeout_s, host=address[0], port=port)
            owners[first : last + 1] = [self._clients[address]] * (last + 1 - first)
        return owners
