"""Script calls sent to the nodes that own their keys: one trip a node, whatever their number. Blocking.

redis-py's own pipelines take 10 µs and more for a command, ask the server for every script before each trip, and on a
Cluster take no scripts at all. So the commands are packed by hiredis and sent over its connections here. What a Cluster
answers while it moves slots is left to redis-py's single calls, which follow it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from importlib import resources
from typing import Any, Final, TypeAlias

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ClusterError,
    NoScriptError,
    RedisClusterException,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from services.domain.errors import FeatureStoreDown

Word: TypeAlias = bytes | str | int | float
_Client: TypeAlias = Any  # redis.Redis or redis.RedisCluster, whose calls used here have no types
_Connection: TypeAlias = Any  # likewise

_pack: Any = hiredis.pack_command  # typed for one word only
_TRIP_BYTES: Final = 256 * 1024  # larger: Redis answers nobody else meanwhile; smaller: more round trips
_MOVES: Final = (AskError, TryAgainError, ClusterDownError)  # MovedError is an AskError


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script beside this module."""

    file: str
    source: str = field(init=False, repr=False)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        source = resources.files(__package__).joinpath(self.file).read_text(encoding="utf-8")
        object.__setattr__(self, "source", source)
        object.__setattr__(self, "digest", sha1(source.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a script; its keys lie in one slot."""

    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[Word]

    def by_digest(self) -> tuple[Word, ...]:
        return ("EVALSHA", self.script.digest, len(self.keys), *self.keys, *self.arguments)

    def by_source(self) -> tuple[Word, ...]:
        return ("EVAL", self.script.source, len(self.keys), *self.keys, *self.arguments)


class Nodes:
    """One Redis, or every node of the Redis Cluster that the address is part of; for one thread."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Connects with the first use."""
        self._url = url
        self._options: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
        self._client: _Client | None = None
        self._connections: dict[str, _Connection] = {}

    def run(self, calls: Sequence[Call]) -> list[Any]:
        """The calls' answers, in their order; calls with the same keys run in their order.

        Raises FeatureStoreDown. Some of the calls may have run then: scripts must bear to be repeated.
        """
        try:
            client = self._connected()
            answers: list[Any] = [None] * len(calls)
            for name, numbers in self._by_node(client, calls).items():
                for number, answer in zip(numbers, self._trips(client, name, [calls[n] for n in numbers]), strict=True):
                    answers[number] = answer
            for number, answer in enumerate(answers):
                if isinstance(answer, ResponseError):
                    answers[number] = self._again(client, calls[number], answer)
        except (redis.RedisError, RedisClusterException, OSError) as error:
            self.close()
            raise FeatureStoreDown(f"Redis did not take {len(calls)} calls: {error}") from error
        return answers

    def close(self) -> None:
        for connection in self._connections.values():
            connection.disconnect()
        self._connections.clear()
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> _Client:
        if self._client is None:
            # A stale socket is mended by one more try; a server that is away is waited for by the callers.
            single = redis.Redis.from_url(self._url, retry=Retry(NoBackoff(), 1), **self._options)
            if single.info("cluster").get("cluster_enabled"):
                single.close()
                self._client = redis.RedisCluster.from_url(self._url, **self._options)
            else:
                self._client = single
        return self._client

    def _by_node(self, client: _Client, calls: Sequence[Call]) -> dict[str, list[int]]:
        """The numbers of the calls by the name of the node that owns their keys."""
        if not _is_cluster(client):
            return {"": list(range(len(calls)))}
        found: dict[str, list[int]] = defaultdict(list)
        for number, call in enumerate(calls):
            node = client.nodes_manager.get_node_from_slot(key_slot(call.keys[0]))
            found[node.name].append(number)
        return found

    def _trips(self, client: _Client, name: str, calls: Sequence[Call]) -> list[Any]:
        """Sends and reads in pieces, so that neither side waits for a full socket buffer."""
        packed = [_pack(call.by_digest()) for call in calls]
        answers: list[Any] = []
        start = 0
        while start < len(packed):
            end, size_bytes = start, 0
            while end < len(packed) and size_bytes < _TRIP_BYTES:
                size_bytes += len(packed[end])
                end += 1
            answers += self._trip(client, name, b"".join(packed[start:end]), end - start)
            start = end
        return answers

    def _trip(self, client: _Client, name: str, packed: bytes, num_calls: int) -> list[Any]:
        connection = self._connections.get(name)
        if connection is None:
            connection = self._connections[name] = _connection(client, name)
        try:
            return _exchange(connection, packed, num_calls)
        except redis.ConnectionError:
            connection.disconnect()  # perhaps only this socket is stale
            return _exchange(connection, packed, num_calls)

    def _again(self, client: _Client, call: Call, answer: ResponseError) -> Any:
        """What became of a call that the node did not run: the script was unknown there, or the slot has moved."""
        if isinstance(answer, NoScriptError):
            return client.execute_command(*call.by_source())
        if isinstance(answer, _MOVES) and _is_cluster(client):
            try:
                return client.execute_command(*call.by_digest())
            except NoScriptError:
                return client.execute_command(*call.by_source())
        raise answer


def _is_cluster(client: _Client) -> bool:
    return isinstance(client, redis.RedisCluster)


def _connection(client: _Client, name: str) -> _Connection:
    if _is_cluster(client):
        node = client.get_node(node_name=name)
        if node is None:
            raise ClusterError(f"the Cluster's node {name} is gone")
        client = client.get_redis_connection(node)
    return client.connection_pool.make_connection()  # held for good: a pool's own checks cost 20 µs a trip


def _exchange(connection: _Connection, packed: bytes, num_calls: int) -> list[Any]:
    connection.send_packed_command([packed])
    return [_answer(connection) for _ in range(num_calls)]


def _answer(connection: _Connection) -> Any:
    """An error of one call is its answer: the other calls' answers are still to be read."""
    try:
        return connection.read_response(disconnect_on_error=True)
    except ResponseError as error:
        return error
