"""Script calls sent to the nodes that own their keys: one trip a node, whatever their number. Blocking.

redis-py's own pipelines take 10 µs and more for a command, ask the server for every script before each trip, and on a
Cluster take no scripts at all. So the commands are packed by hiredis and sent over its connections here. What a Cluster
answers while it moves slots is left to redis-py's single calls, which follow it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from importlib import resources
from itertools import chain
from typing import Any, Final, NamedTuple, TypeAlias

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
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
_TRIP_BYTES: Final = (
    32 * 1024
)  # larger: Redis waits for the first trip and then keeps others waiting; smaller: more trips
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


class Call(NamedTuple):
    """One call of a script; its keys lie in one slot."""

    script: Script
    keys: Sequence[bytes]
    arguments: Sequence[Word]

    def by_digest(self) -> tuple[Word, ...]:
        return ("EVALSHA", self.script.digest, len(self.keys), *self.keys, *self.arguments)

    def by_source(self) -> tuple[Word, ...]:
        return ("EVAL", self.script.source, len(self.keys), *self.keys, *self.arguments)


@dataclass(slots=True)
class _Line:
    """The connection to one node, and the calls on their way over it, by their numbers."""

    connection: _Connection
    packed: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    unsent: list[int] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)

    def queue(self, number: int, packed: bytes, answers: dict[int, Any]) -> None:
        """Sends once there is enough, and then reads what the trip before brought: so the node is never idle."""
        self.packed.append(packed)
        self.unsent.append(number)
        self.size_bytes += len(packed)
        if self.size_bytes >= _TRIP_BYTES:
            before, self.unanswered = self.unanswered, []
            self.send()
            self._read(before, answers)

    def send(self) -> None:
        if self.packed:
            self.connection.send_packed_command([b"".join(self.packed)])
            self.unanswered += self.unsent
            self.packed, self.unsent, self.size_bytes = [], [], 0

    def finish(self, answers: dict[int, Any]) -> None:
        """Reads what is left to be read."""
        numbers, self.unanswered = self.unanswered, []
        self._read(numbers, answers)

    def load(self, script: Script) -> None:
        self.connection.send_command("SCRIPT", "LOAD", script.source)
        self.connection.read_response()

    def _read(self, numbers: Sequence[int], answers: dict[int, Any]) -> None:
        for number in numbers:
            try:
                answers[number] = self.connection.read_response()
            except ResponseError as error:
                answers[number] = error  # the other calls' answers are still to be read


class Nodes:
    """One Redis, or every node of the Redis Cluster that the address is part of; for one thread."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """Connects with the first use."""
        self._url = url
        self._options: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
        self._client: _Client | None = None
        self._is_cluster = False
        self._lines: dict[str, _Line] = {}

    def run(self, calls: Iterable[Call]) -> list[Any]:
        """The calls' answers, in their order; calls with the same keys run in their order.

        They are taken one by one, while the nodes work on those before. Raises FeatureStoreDown. Some may have run
        then, or twice: scripts must bear to be repeated.
        """
        taken: list[Call] = []
        noted = _noting(iter(calls), taken)
        try:
            try:
                answers = self._exchange(noted)
            except redis.ConnectionError:  # perhaps only a socket was stale, or another node has taken over
                self._hang_up()
                if self._is_cluster and self._client is not None:
                    self._client.nodes_manager.initialize()
                answers = self._exchange(chain(tuple(taken), noted))
            self._tell_scripts(taken, answers)
            for number, answer in enumerate(answers):
                if isinstance(answer, ResponseError):
                    answers[number] = self._follow(taken[number], answer)
        except (redis.RedisError, RedisClusterException, OSError) as error:
            self._hang_up()
            raise FeatureStoreDown(f"Redis did not take {len(taken)} calls: {error}") from error
        return answers

    def place_of(self, key: bytes) -> int:
        """Keys of the same place may be given to one call: those of a slot, or all where there is no Cluster.

        To be asked while `run` takes its calls: before, it is not known whether there is one.
        """
        return key_slot(key) if self._is_cluster else 0

    def close(self) -> None:
        self._hang_up()
        if self._client is not None:
            self._client.close()
            self._client = None

    def _hang_up(self) -> None:
        for line in self._lines.values():
            line.connection.disconnect()
        self._lines.clear()

    def _exchange(self, calls: Iterable[Call]) -> list[Any]:
        """The answers, errors of single calls among them."""
        client = self._connected()
        answers: dict[int, Any] = {}
        for number, call in enumerate(calls):
            self._line(client, call.keys[0]).queue(number, _pack(call.by_digest()), answers)
        for line in self._lines.values():
            line.send()
        for line in self._lines.values():
            line.finish(answers)
        return [answers[number] for number in range(len(answers))]

    def _connected(self) -> _Client:
        if self._client is None:
            single = redis.Redis.from_url(self._url, retry=Retry(NoBackoff(), 1), **self._options)
            self._is_cluster = bool(single.info("cluster").get("cluster_enabled"))
            if self._is_cluster:
                single.close()
                self._client = redis.RedisCluster.from_url(self._url, **self._options)
            else:
                self._client = single
        return self._client

    def _line(self, client: _Client, key: bytes) -> _Line:
        """To the node that owns the key."""
        node = client.nodes_manager.get_node_from_slot(key_slot(key)) if self._is_cluster else None
        name = "" if node is None else node.name
        line = self._lines.get(name)
        if line is None:
            at_node = client if node is None else client.get_redis_connection(node)
            # Held for good: a pool's own checks cost 20 µs a trip.
            line = self._lines[name] = _Line(at_node.connection_pool.make_connection())
        return line

    def _tell_scripts(self, calls: Sequence[Call], answers: list[Any]) -> None:
        """Runs again those that a node did not know the script of, once it does."""
        unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        for script in {calls[number].script for number in unknown}:
            for line in self._lines.values():
                line.load(script)
        for number, answer in zip(unknown, self._exchange(calls[number] for number in unknown), strict=True):
            answers[number] = answer

    def _follow(self, call: Call, answer: ResponseError) -> Any:
        """What became of a call whose slot has moved, or is moving; raises any other error."""
        if not (isinstance(answer, _MOVES) and self._is_cluster):
            raise answer
        return self._connected().execute_command(*call.by_source())


def _noting(calls: Iterator[Call], taken: list[Call]) -> Iterator[Call]:
    for call in calls:
        taken.append(call)
        yield call
