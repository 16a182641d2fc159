"""One connection to Redis on which whatever is asked in one turn of the event loop goes out in one write.

Answers come in the order of the questions, so whoever waits stands in a queue. Nothing here connects again: see `link`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import hiredis
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

MAX_WAITING: Final = 16_384  # larger: memory while Redis hangs; smaller: bursts are refused

Word: TypeAlias = bytes | str | int
Command: TypeAlias = Sequence[Word]

_ERRORS: Final = {"MOVED": MovedError, "ASK": AskError, "CLUSTERDOWN": ClusterDownError}


class _Waiting:
    """Whoever waits for an answer: that to the last of the commands that went out together."""

    __slots__ = ("answer", "asked_time", "error", "num_left")

    def __init__(self, answer: "asyncio.Future[Any]", num_replies: int, asked_time: float) -> None:
        self.answer = answer
        self.num_left = num_replies
        self.asked_time = asked_time
        self.error: Exception | None = None


class PipelinedConnection(asyncio.Protocol):
    """For one event loop. timeout_s: how long an answer may take."""

    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(protocolError=RedisConnectionError, replyError=_reply_error)
        self._transport: asyncio.Transport | None = None
        self._waiting = deque[_Waiting]()
        self._unsent: list[bytes] = []
        self._heard_time = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.lost = self._loop.create_future()
        """Done once the connection is gone; its result says why."""

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self.lost.done()

    def ask(self, *command: Word) -> "asyncio.Future[Any]":
        """Sends one command before this turn of the loop ends; the future holds the answer.

        Raises what the answer says as a RedisError, TimeoutError, and ConnectionError when the connection goes before
        it came; then nobody knows whether the command took effect. A future that is cancelled loses its answer alone.
        """
        return self._send(_packed(command), 1)

    def ask_at_once(self, commands: Sequence[Command]) -> "asyncio.Future[list[Any]]":
        """Sends the commands as one transaction: all of one moment; the future holds their answers. As `ask`."""
        return self._send(b"".join(map(_packed, [("MULTI",), *commands, ("EXEC",)])), len(commands) + 2)

    def close(self, error: Exception | None = None) -> None:
        """Breaks the connection off; whoever waits gets the error."""
        if self._transport is not None:
            self._transport.abort()
        self._end(error or RedisConnectionError("the connection to Redis was closed"))

    def _send(self, packed: bytes, num_replies: int) -> "asyncio.Future[Any]":
        answer = self._loop.create_future()
        if self._transport is None or self.lost.done() or len(self._waiting) >= MAX_WAITING:
            answer.set_exception(RedisConnectionError("there is no connection to Redis, or too many wait for it"))
            return answer
        self._waiting.append(_Waiting(answer, num_replies, self._loop.time()))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(packed)
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._look_at_the_clock)
        return answer

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.is_open and self._transport is not None:
            self._transport.write(unsent[0] if len(unsent) == 1 else b"".join(unsent))

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._heard_time = self._loop.time()
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._hear(reply)
        except (RedisConnectionError, IndexError) as error:  # no protocol of Redis, or an answer that nobody asked for
            self.close(RedisConnectionError(f"what answers does not speak as Redis does: {error!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(RedisConnectionError(f"the connection to Redis was lost: {exc or 'it was closed'}"))

    def _hear(self, reply: Any) -> None:
        waiting = self._waiting[0]
        waiting.num_left -= 1
        is_error = isinstance(reply, Exception)
        if is_error and waiting.error is None:
            waiting.error = reply
        if waiting.num_left:
            return
        self._waiting.popleft()
        if waiting.answer.done():  # nobody waits any more
            return
        error = waiting.error or _within(reply)
        if error is not None:
            waiting.answer.set_exception(error)
        else:
            waiting.answer.set_result(reply)

    def _look_at_the_clock(self) -> None:
        """Fails those who have waited too long; a connection that was silent all the while is given up."""
        self._timer = None
        if not self._waiting:
            return
        late = self._loop.time() - self._timeout_s
        if self._waiting[0].asked_time <= late and self._heard_time <= late:
            self.close(TimeoutError(f"Redis was silent for {self._timeout_s:g} s"))
            return
        next_time = self._heard_time
        for each in self._waiting:  # the oldest first; who gave up still stands here, for the answer that comes
            if each.asked_time > late:
                next_time = each.asked_time
                break
            if not each.answer.done():
                each.answer.set_exception(TimeoutError(f"Redis did not answer within {self._timeout_s:g} s"))
        self._timer = self._loop.call_at(next_time + self._timeout_s, self._look_at_the_clock)

    def _end(self, error: Exception) -> None:
        if self.lost.done():
            return
        self.lost.set_result(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unsent.clear()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.answer.done():
                waiting.answer.set_exception(error)


def _packed(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type] # its stub says one word
    return packed


def _reply_error(text: str) -> RedisError:
    word, _, rest = text.partition(" ")
    kind = _ERRORS.get(word)
    return ResponseError(text) if kind is None else kind(rest)


def _within(reply: Any) -> Exception | None:
    """The first error among the answers of a transaction."""
    if type(reply) is not list:
        return None
    return next((each for each in reply if isinstance(each, Exception)), None)
