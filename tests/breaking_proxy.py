"""A TCP proxy on loopback that breaks connections off where a test says."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeAlias

Rule: TypeAlias = Callable[[bytes], int | None]
"""Given the beginning of a request: after how many bytes of the answer the connection breaks off; None: not at all."""


def never(request: bytes) -> int | None:
    return None


@dataclass
class Proxy:
    """What a test sets and reads while it runs."""

    port: int
    upstream_port: int
    rule: Rule = never
    swallows: bool = False
    """Whether requests go nowhere, and nobody is told."""
    num_broken: int = 0
    requests: list[str] = field(default_factory=list)

    def serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # closed: the test is over
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self.upstream_port)) as upstream:
            allowed: list[int | None] = [None]
            threading.Thread(target=self._answer, args=(upstream, client, allowed), daemon=True).start()
            while chunk := client.recv(65_536):
                if chunk.startswith((b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")):
                    self.requests.append(chunk.partition(b" HTTP")[0].decode())
                    allowed[0] = self.rule(chunk)
                if not self.swallows:
                    upstream.sendall(chunk)

    def _answer(self, upstream: socket.socket, client: socket.socket, allowed: list[int | None]) -> None:
        with suppress(OSError):
            while chunk := upstream.recv(65_536):
                left = allowed[0]
                if left is not None and len(chunk) >= left:
                    client.sendall(chunk[:left])
                    self.num_broken += 1
                    break
                client.sendall(chunk)
                allowed[0] = None if left is None else left - len(chunk)
        for each in (client, upstream):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def breaking_proxy(upstream_port: int) -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(listener.getsockname()[1], upstream_port)
        threading.Thread(target=proxy.serve, args=(listener,), daemon=True).start()
        try:
            yield proxy
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
