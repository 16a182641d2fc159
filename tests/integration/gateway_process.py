"""The real gateway under test: `python -m services.ingest.gateway`, its port and its log."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.waiting import wait_until


@dataclass(frozen=True)
class Gateway:
    process: "subprocess.Popen[bytes]"
    ready_file: Path
    log: Path

    @property
    def target(self) -> str:
        return f"127.0.0.1:{json.loads(self.ready_file.read_text())['port']}"

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.ready_file.is_file()

    def health(self) -> str:
        with grpc.insecure_channel(self.target) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs lack the methods
            request = health_pb2.HealthCheckRequest(service="nightjar.v1.EventService")
            status = stub.Check(request, timeout=5).status
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(status))


@contextmanager
def gateway(environment: Mapping[str, str], folder: Path, **settings: str) -> Iterator[Gateway]:
    """A gateway that is ready inside the block and gone after it; settings without their prefix NIGHTJAR_GATEWAY__."""
    own = {"NIGHTJAR_GATEWAY__PORT": "0"} | {f"NIGHTJAR_GATEWAY__{name}": value for name, value in settings.items()}
    with starting({**environment, **own}, folder) as started:
        wait_until(started.is_ready, timeout_s=60, what="the gateway is ready")
        yield started


@contextmanager
def starting(environment: Mapping[str, str], folder: Path) -> Iterator[Gateway]:
    """As above, but it may not be ready yet."""
    folder.mkdir(parents=True, exist_ok=True)
    ready_file, log = folder / "gateway.json", folder / "gateway.log"
    command = [sys.executable, "-m", "services.ingest.gateway", "--ready-file", str(ready_file)]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=os.environ | environment, stderr=output, stdout=output)
    try:
        yield Gateway(process, ready_file, log)
    finally:
        process.kill()
        process.wait()
