"""How serving reaches Redis: asyncio, failing fast, one server or a Cluster alike."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, ClusterDownError
from redis.exceptions import ConnectionError as RedisConnectionError

from services.adapters.redis_store.link import FAILURES, Address, Link
from services.adapters.redis_store.pipelined import Command, Word

_MOVES: Final = (AskError, ClusterDownError, RedisConnectionError)  # MovedError is an AskError


class RedisStore:
    """One Redis, or the Redis Cluster that the address is a node of: which one is asked with the first call.

    For one event loop, and for commands that may be sent twice: one whose connection was lost is. While an operator
    moves a slot of a Cluster, users that are at its new node already are not read: FAILURES.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._address = Address.of(url)
        self._timeout_s = timeout_s
        self._named = Link(self._address, timeout_s)
        self._is_cluster: bool | None = None
        self._owners: list[Link] = []
        """The node of each slot; empty without a Cluster."""
        self._links: dict[tuple[str, int], Link] = {}
        self._learning = asyncio.Lock()

    async def ask(self, key: bytes, *command: Word) -> Any:
        """Asks the node that has the key; once more when that went, or the Cluster changed. Raises one of FAILURES."""
        return await self._ask(key, lambda link: link.ask(*command))

    async def ask_at_once(self, key: bytes, commands: Sequence[Command]) -> list[Any]:
        """The same of several commands, whose keys share a slot, all of one moment."""
        answers: list[Any] = await self._ask(key, lambda link: link.ask_at_once(commands))
        return answers

    async def aclose(self) -> None:
        for link in (self._named, *self._links.values()):
            await link.aclose()

    async def _ask(self, key: bytes, question: Callable[[Link], Awaitable[Any]]) -> Any:
        if self._is_cluster is None:
            await self._learn(self._owners)
        owners = self._owners
        try:
            return await question(self._owner(key))
        except _MOVES:
            if self._is_cluster:
                await self._learn(owners)
            return await question(self._owner(key))

    def _owner(self, key: bytes) -> Link:
        return self._owners[key_slot(key)] if self._owners else self._named

    async def _learn(self, known: list[Link]) -> None:
        """Asks who owns which slot, unless another call has done so since `known`."""
        async with self._learning:
            if self._is_cluster is False or self._owners is not known:
                return
            if self._is_cluster is None and b"cluster_enabled:1" not in await self._named.ask("INFO", "cluster"):
                self._is_cluster = False
            else:
                self._owners = self._by_slot(await self._slots())
                self._is_cluster = True

    async def _slots(self) -> list[Any]:
        """For each range: first and last slot, then its nodes, the primary first.

        Whichever node answers first is asked; the one that was named may be gone.
        """
        failure: Exception | None = None
        for link in (self._named, *self._links.values()):
            try:
                return list(await link.ask("CLUSTER", "SLOTS"))
            except FAILURES as error:
                failure = error
        raise RedisConnectionError("no node of the Cluster answers") from failure

    def _by_slot(self, ranges: list[Any]) -> list[Link]:
        owners = [self._named] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in ranges:
            # A node that does not know its own name is the one that was asked.
            place = (host.decode() if host else self._address.host, port)
            if place not in self._links:
                self._links[place] = Link(self._address.on(*place), self._timeout_s)
            owners[first : last + 1] = [self._links[place]] * (last + 1 - first)
        return owners
