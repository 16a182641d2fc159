"""A real S3 over HTTP on this machine: moto's server, in memory, each test with a bucket of its own."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.request import Request, urlopen
from uuid import uuid4

from moto.server import ThreadedMotoServer


@dataclass(frozen=True)
class S3:
    """Where it listens, on loopback."""

    port: int

    @property
    def options(self) -> Mapping[str, str]:
        """What `bundles.options` takes to reach it."""
        return self.options_through(self.port)

    def options_through(self, port: int) -> Mapping[str, str]:
        """Likewise by way of a proxy."""
        return {
            "endpoint": f"http://127.0.0.1:{port}",
            "allow_http": "true",
            "region": "us-east-1",
            "access_key_id": "test",
            "secret_access_key": "geheim",
        }

    def new_bucket(self) -> str:
        """The address of an empty bucket, with a prefix in it."""
        name = f"bucket-{uuid4().hex}"
        with urlopen(Request(f"http://127.0.0.1:{self.port}/{name}", method="PUT"), timeout=10):
            return f"s3://{name}/models/live"


@contextmanager
def s3_server() -> Iterator[S3]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request otherwise
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield S3(server.get_host_and_port()[1])
    finally:
        server.stop()
