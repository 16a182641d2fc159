"""A load on a gRPC server that costs almost nothing itself: unary calls over HTTP/2, written as bytes made beforehand.

A gRPC client costs more than the server that it measures, and both share the machine's cores. This one takes some six
microseconds a call: the headers of every call are the same bytes, and of a reply no more is read than its frames; a
reply with a message counts as answered, one without as failed. `python -m benchmarks.grpc_load --help`: a process of
its own, so that it takes no interpreter from anybody; its last line is JSON.

Closed: each stream sends its next call when the last one is answered. Open: calls begin on a fixed beat, whether or not
earlier ones are answered, and a latency counts from when the call was due (Tene, "How NOT to Measure Latency", 2015).
Source of the frames: RFC 9113; of the headers: RFC 7541, each a literal that is never indexed.
"""

import argparse
import asyncio
import base64
import gc
import json
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import numpy as np
import uvloop

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WIDE: Final = 2**31 - 1
_RENEW: Final = 2**30
_FIRST_WINDOW: Final = 65_535
_FRAME: Final = struct.Struct(">I")
DRAIN_S: Final = 10.0


def _frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + body


def _literal(name: str, value: str) -> bytes:
    """A header that is never indexed; both shorter than 127 bytes."""
    return b"\x10" + b"".join(bytes((len(each),)) + each.encode() for each in (name, value))


def _headers(method: str, deadline_ms: int | None) -> bytes:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", method), (":authority", "localhost")]
    fields += [("te", "trailers"), ("content-type", "application/grpc")]
    if deadline_ms is not None:
        fields.append(("grpc-timeout", f"{deadline_ms}m"))
    return b"".join(_literal(*field) for field in fields)


class Connection(asyncio.Protocol):
    """One connection. answered: called with a stream's due time, and whether a message came."""

    def __init__(self, headers: bytes, answered: Callable[["Connection", float, bool], None]) -> None:
        self._headers = headers
        self._answered = answered
        self._transport: asyncio.Transport
        self._rest = b""
        self._next_stream = 1
        self._due = dict[int, float]()
        self._has_message = set[int]()
        self._received = 0
        self._window = _FIRST_WINDOW
        self._held = deque[bytes]()
        self._out: list[bytes] = []
        self.is_open = True

    @property
    def num_under_way(self) -> int:
        return len(self._due)

    def call(self, message: bytes, due_time: float) -> None:
        """Sends a call in this turn of the loop. message: with its five bytes of length, as gRPC frames it."""
        stream = self._next_stream
        self._next_stream = stream + 2
        self._due[stream] = due_time
        self._window -= len(message)
        frames = _frame(_HEADERS, _END_HEADERS, stream, self._headers) + _frame(_DATA, _END_STREAM, stream, message)
        if self._window < 0:
            self._held.append(frames)
        else:
            self._write(frames)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        settings = struct.pack(">HI", 4, _WIDE)  # how much of a stream we take unasked
        wider = _frame(_WINDOW, 0, 0, _FRAME.pack(_WIDE - _FIRST_WINDOW))
        self._transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, settings) + wider)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - calls that fail are counted alike
        self.is_open = False
        for stream in list(self._due):
            self._end(stream, answered=False)

    def data_received(self, data: bytes) -> None:
        data, at = self._rest + data, 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + length:
                break
            self._take(data[at + 3], data[at + 4], int.from_bytes(data[at + 5 : at + 9], "big"), data, at + 9, length)
            at += 9 + length
        self._rest = data[at:]

    def _take(self, kind: int, flags: int, stream: int, data: bytes, start: int, length: int) -> None:
        if kind == _DATA:
            self._received += length
            if length > 5:
                self._has_message.add(stream)
            if self._received > _RENEW:
                self._write(_frame(_WINDOW, 0, 0, _FRAME.pack(self._received)))
                self._received = 0
        elif kind == _SETTINGS and not flags & _ACK:
            self._write(_frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            self._write(_frame(_PING, _ACK, 0, data[start : start + length]))
        elif kind == _WINDOW and stream == 0:
            self._window += _FRAME.unpack_from(data, start)[0]
            while self._held and self._window >= 0:
                self._write(self._held.popleft())
        elif kind == _RST:
            self._end(stream, answered=False)
            return
        elif kind == _GOAWAY:
            self.is_open = False
        if flags & _END_STREAM and kind in (_DATA, _HEADERS):
            self._end(stream, answered=stream in self._has_message)

    def _end(self, stream: int, *, answered: bool) -> None:
        self._has_message.discard(stream)
        due_time = self._due.pop(stream, None)
        if due_time is not None:
            self._answered(self, due_time, answered)

    def _write(self, frames: bytes) -> None:
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(frames)

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._transport.write(b"".join(out))


class Load:
    """messages: sent one after the other, over and over. seconds: how long calls begin; the first `warm_up_s` of them
    are not counted.
    """

    def __init__(self, messages: Sequence[bytes], seconds: float, warm_up_s: float) -> None:
        self._messages = [b"\x00" + _FRAME.pack(len(each)) + each for each in messages]
        self._seconds = seconds
        self._warm_up_s = warm_up_s
        self._number = 0
        self._from_s = self._until_s = 0.0
        self.latencies_ms: list[float] = []
        self.num_failed = 0
        self._is_closed_loop = True
        self._is_over = False
        self._num_under_way = 0
        self._drained = asyncio.Event()

    async def run(self, host: str, port: int, headers: bytes, connections: int, streams: int, rate: float) -> None:
        """rate: calls a second of an open loop; 0: a closed one, of so many streams a connection."""
        loop = asyncio.get_running_loop()
        self._is_closed_loop = rate == 0
        made = [
            (await loop.create_connection(lambda: Connection(headers, self._answered), host, port))[1]
            for _ in range(connections)
        ]
        self._from_s = time.perf_counter() + self._warm_up_s
        self._until_s = self._from_s + self._seconds
        if self._is_closed_loop:
            for connection in made:
                for _ in range(streams):
                    self._begin(connection, time.perf_counter())
        else:
            await self._beat(made, rate)
        await asyncio.sleep(max(0.0, self._until_s - time.perf_counter()))
        self._is_over = True
        if any(each.num_under_way for each in made):
            await asyncio.wait([asyncio.ensure_future(self._drained.wait())], timeout=DRAIN_S)
        for each in made:
            self.num_failed += each.num_under_way

    async def _beat(self, made: Sequence[Connection], rate: float) -> None:
        start, number = time.perf_counter(), 0
        while (due := start + number / rate) < self._until_s:
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            self._begin(made[number % len(made)], due)
            number += 1

    def _begin(self, connection: Connection, due_time: float) -> None:
        message = self._messages[self._number % len(self._messages)]
        self._number += 1
        self._num_under_way += 1
        connection.call(message, due_time)

    def _answered(self, connection: Connection, due_time: float, answered: bool) -> None:
        now = time.perf_counter()
        self._num_under_way -= 1
        if self._is_over and not self._num_under_way:
            self._drained.set()
        if self._from_s <= due_time < self._until_s:
            if answered:
                self.latencies_ms.append((now - due_time) * 1_000)
            else:
                self.num_failed += 1
        if self._is_closed_loop and now < self._until_s and connection.is_open:
            self._begin(connection, now)

    def result(self) -> dict[str, Any]:
        found = np.array(self.latencies_ms or [float("nan")])
        return {
            "answered": len(self.latencies_ms),
            "failed": self.num_failed,
            "rps": round(len(self.latencies_ms) / self._seconds, 1),
            "p50_ms": round(float(np.percentile(found, 50)), 3),
            "p99_ms": round(float(np.percentile(found, 99)), 3),
            "max_ms": round(float(found.max()), 3),
            "cpu_us": round(1e6 * time.process_time() / max(1, self._number), 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--method", required=True, help="/package.Service/Method")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long calls are counted")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before that")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--streams", type=int, default=8, help="calls under way on each connection")
    parser.add_argument("--rate", type=float, default=0.0, help="calls a second, of an open loop; 0: a closed one")
    parser.add_argument("--deadline-ms", type=int, help="of each call")
    options = parser.parse_args()
    messages = [base64.b64decode(line) for line in sys.stdin if line.strip()]
    load = Load(messages or [b""], options.seconds, options.warm_up)
    headers = _headers(options.method, options.deadline_ms)
    gc.freeze()
    uvloop.run(load.run(options.host, options.port, headers, options.connections, options.streams, options.rate))
    print(json.dumps(load.result()))


if __name__ == "__main__":
    main()
