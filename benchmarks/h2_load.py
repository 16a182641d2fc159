"""A closed-loop load of one unary gRPC call, in HTTP/2 frames made beforehand: a tenth of what a gRPC client costs.

`python -m benchmarks.h2_load --port N --method /package.Service/Method --request HEX --seconds S`: so many calls are
always under way, on a few connections. The last line on standard output is {"calls": ..., "failed": ..., "seconds":
..., "cpu_us": ...}, the last of this process, a call. A reply without a message counts as failed.
"""

import argparse
import json
import selectors
import socket
import struct
import time
from typing import Final

NUM_CONNECTIONS: Final = 8
CALLS_EACH: Final = 8
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1
WINDOW: Final = 2**31 - 1
WARM_UP_S: Final = 1.0


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">IBBI", len(payload), kind, flags, stream)[1:] + payload


def header_block(method: str) -> bytes:
    """HPACK without a table of its own, so that it is the same for every call."""
    block = b"\x83\x86"  # :method POST, :scheme http
    for name, value in (
        (":path", method),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ):
        block += b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return block


class Connection:
    """Keeps CALLS_EACH calls under way."""

    def __init__(self, port: int, block: bytes, request: bytes) -> None:
        self._block, self._message = block, struct.pack(">BI", 0, len(request)) + request
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._next, self._unread = 1, b""
        self.num_done = self.num_messages = 0
        windows = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, WINDOW)) + frame(
            WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - 65_535)
        )
        self.socket.sendall(PREFACE + windows + b"".join(self._call() for _ in range(CALLS_EACH)))

    def _call(self) -> bytes:
        stream, self._next = self._next, self._next + 2
        return frame(HEADERS, END_HEADERS, stream, self._block) + frame(DATA, END_STREAM, stream, self._message)

    def read(self) -> None:
        """Takes what there is, and begins a call for each that has ended."""
        data, at, answers = self._unread + self.socket.recv(262_144), 0, []
        if len(data) == len(self._unread):
            raise SystemExit("The server closed the connection.")
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at < 9 + length:
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == HEADERS and flags & END_STREAM:
                self.num_done += 1
                answers.append(self._call())
            elif kind == DATA and length:
                self.num_messages += 1
            elif kind in (SETTINGS, PING) and not flags & ACK:
                answers.append(frame(kind, ACK, 0, data[at + 9 : at + 9 + length] if kind == PING else b""))
            elif kind == GOAWAY:
                raise SystemExit("The server goes away.")
            at += 9 + length
        self._unread = data[at:]
        if answers:
            self.socket.sendall(b"".join(answers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--request", required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    block, request = header_block(options.method), bytes.fromhex(options.request)
    selector, connections = selectors.DefaultSelector(), []
    for _ in range(NUM_CONNECTIONS):
        connections.append(Connection(options.port, block, request))
        selector.register(connections[-1].socket, selectors.EVENT_READ, connections[-1])

    def run(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(timeout=1.0):
                key.data.read()

    run(WARM_UP_S)
    done, messages = (sum(getattr(each, name) for each in connections) for name in ("num_done", "num_messages"))
    start, cpu = time.monotonic(), time.process_time()
    run(options.seconds)
    calls = sum(each.num_done for each in connections) - done
    received = sum(each.num_messages for each in connections) - messages
    seconds, cpu_s = time.monotonic() - start, time.process_time() - cpu
    failed = max(0, calls - received - NUM_CONNECTIONS * CALLS_EACH)
    print(json.dumps({"calls": calls, "failed": failed, "seconds": seconds, "cpu_us": 1e6 * cpu_s / max(1, calls)}))


if __name__ == "__main__":
    main()
