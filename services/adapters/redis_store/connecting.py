"""How serving reaches Redis: asyncio, failing fast, one server or a Cluster alike."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

MAX_CONNECTIONS: Final = (
    64  # larger: more sockets a worker; smaller: bursts wait for one another. Beyond it calls wait.
)
FAILURES: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""What a call may raise that means: Redis did not answer."""


def connect(url: str, timeout_s: float) -> "redis.asyncio.Redis":
    """A client that fails fast: a slow store must degrade an answer, not delay it. One retry mends a stale socket."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=_retry(),
    )
    return redis.asyncio.Redis.from_pool(pool)


def _retry() -> Retry:
    return Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))  # a timeout is not tried again


class Store:
    """One Redis, or the Redis Cluster that the address is a node of: which one is asked with the first call."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._single = connect(url, timeout_s)
        self._cluster: redis.asyncio.RedisCluster | None = None
        self._is_known = False
        self._asking = asyncio.Lock()
        # A Cluster's client refuses a call beyond its connections; a single server's waits for one.
        self._cluster_calls = asyncio.Semaphore(MAX_CONNECTIONS)

    @asynccontextmanager
    async def client(self) -> AsyncIterator["redis.asyncio.Redis | redis.asyncio.RedisCluster"]:
        """The client for a few calls; raises one of FAILURES."""
        if not self._is_known:
            await self._ask()
        if self._cluster is None:
            yield self._single
        else:
            async with self._cluster_calls:
                yield self._cluster

    async def aclose(self) -> None:
        await self._single.aclose()
        if self._cluster is not None:
            await self._cluster.aclose()

    async def _ask(self) -> None:
        async with self._asking:
            if not self._is_known:
                if (await self._single.info("cluster")).get("cluster_enabled"):
                    self._cluster = redis.asyncio.RedisCluster.from_url(
                        self._url,
                        max_connections=MAX_CONNECTIONS,
                        socket_timeout=self._timeout_s,
                        socket_connect_timeout=self._timeout_s,
                    )
                self._is_known = True
