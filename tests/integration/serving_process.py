"""The real serving process under test: `python -m services.inference`, its workers, its log and its bundles."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import grpc
import numpy as np
import numpy.typing as npt
import psutil
from pydantic import SecretStr

from nightjar.v1 import model_service_pb2 as model_wire
from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.model_service_pb2_grpc import ModelServiceStub
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.redis_store import HistoryLimits, RedisHistoryWriter
from services.domain.bundles import MANIFEST, sha256_of
from services.domain.clock import SystemClock
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, ModelVersion, UserId
from services.domain.interactions import Interaction
from services.domain.models import Model
from services.registry.wiring import open_registry
from services.settings import Settings
from tests.fakes.model_registry import PASSED
from tests.fakes.tiny_bundle import write_draft
from tests.waiting import wait_until

NUM_WORKERS = 2


ENGINE: Final = os.environ.get("TEST_ENGINE", "grpcio")
"""On which engine processes serve where a test names none; see `make test-native`."""


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a process under test: nothing of this one's settings, and a home of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
    prefixed = {f"NIGHTJAR_{name}": value for name, value in settings.items()}
    return {**inherited, "NIGHTJAR_HOME": str(home), "NIGHTJAR_SERVE__POLL_INTERVAL_S": "0.2", **prefixed}


class LogReader:
    """What a serving process has logged since it was asked last. Its workers write at once: lines may run together."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def new(self) -> list[dict[str, Any]]:
        """Whole lines, in order; what is no JSON, such as a traceback, is passed over."""
        with self._path.open("rb") as file:
            file.seek(self._at)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._at += len(whole + newline)
        text, at, lines = whole.decode(), 0, list[dict[str, Any]]()
        while (at := text.find('{"', at)) >= 0:
            try:
                line, at = json.JSONDecoder().raw_decode(text, at)
                lines.append(line)
            except ValueError:
                at += 1
        return lines


@dataclass
class Serving:
    """A running serving process and what a test needs to reach it."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    log: Path
    home: Path
    database_url: str = ""
    """Empty: SQLite in its home."""

    @property
    def settings(self) -> Settings:
        """Where its database and its bundles are."""
        settings = Settings(home=self.home)
        url = SecretStr(self.database_url) if self.database_url else None
        return settings.model_copy(update={"database": settings.database.model_copy(update={"url": url})})

    @property
    def address(self) -> str:
        return f"127.0.0.1:{json.loads(self.ready_file.read_text())['port']}"

    def channel(self) -> grpc.Channel:
        """A channel with a connection of its own, so that several reach different workers."""
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def workers(self) -> list[psutil.Process]:
        """Its running worker processes."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def publish(self, drafts: Path, version: str, vectors: npt.NDArray[np.float32]) -> None:
        """A bundle in the store this process reads, registered as passed by the gate."""
        settings = self.settings
        store, registry = FolderBundleStore(settings.bundle_folder), open_registry(settings)
        manifest = write_draft(drafts / version, version, vectors=vectors)
        location = store.publish(drafts / version, manifest)
        digest = sha256_of(store.fetch(location) / MANIFEST)
        created_time = SystemClock().now()
        model = Model(manifest.model_version, manifest.kind, created_time, location, digest, manifest.data_version)
        registry.register(model)
        registry.judge(ModelVersion(version), PASSED)

    def promote(self, version: str) -> None:
        with self.channel() as channel:
            request = model_wire.PromoteModelRequest(version=version, actor="test")
            ModelServiceStub(channel).PromoteModel(request, timeout=10)

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event in its log, in order."""
        return [line for line in LogReader(self.log).new() if line["event"] == event]

    def num_started(self) -> int:
        """How many workers have listened so far, the dead ones too."""
        return self.log.read_text().count("worker_listening")

    def recommend(self, user_id: str) -> wire.RecommendResponse:
        """One call on a connection of its own."""
        return self.answer(wire.RecommendRequest(user_id=user_id, k=3))

    def answer(self, request: wire.RecommendRequest) -> wire.RecommendResponse:
        """Likewise."""
        with self.channel() as channel:
            return RecommenderServiceStub(channel).Recommend(request, timeout=10)

    def versions(self) -> set[str]:
        """The versions that many connections, spread over the workers by the kernel, find serving."""
        return {self.recommend("nobody").model_version for _ in range(8)}


def start(home: Path, redis_url: str, *, replica: str = "", **settings: str) -> Serving:
    """Starts the process and waits until every worker listens.

    replica: a name, for another process of the same home, and so of the same database and bundles.
    """
    home.mkdir(parents=True, exist_ok=bool(replica))
    ready_file, log = home / f"ready{replica}.json", home / f"log{replica}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.inference", "--ready-file", str(ready_file)],
            env=environment(
                home,
                **{
                    "REDIS__URL": redis_url,
                    "SERVE__PORT": "0",
                    "SERVE__NUM_WORKERS": str(NUM_WORKERS),
                    "SERVE__ENGINE": ENGINE,
                    **settings,
                },
            ),
            cwd=home,
            stderr=out,
        )

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        return ready_file.exists()

    try:
        wait_until(is_ready, timeout_s=60, what="every worker listens")
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Serving(process, ready_file, log, home, settings.get("DATABASE__URL", ""))


def write_events(redis_url: str, user_id: str, *item_ids: str, kind: str = "view") -> None:
    """One event an item, in this order."""
    writer = RedisHistoryWriter(redis_url, DEFAULT_EVENT_TYPES, HistoryLimits(10, 10, 600))
    start_us = 1_700_000_000_000_000
    writer.apply(
        [
            Interaction(EventId(uuid4().hex), UserId(user_id), ItemId(item_id), kind, start_us + number)
            for number, item_id in enumerate(item_ids)
        ]
    )
    writer.close()
