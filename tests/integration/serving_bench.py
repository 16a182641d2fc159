"""A real gRPC server in the test's own event loop, over fakes of the ports and bundles made on the spot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import numpy.typing as npt
import pytest
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc import StatusCode
from grpc_status import rpc_status

from nightjar.v1.model_service_pb2_grpc import ModelServiceStub
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from services.domain.bundles import MANIFEST, Manifest, sha256_of, verify
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.models import Verdict
from services.inference.answer_memory import AnswerMemory
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.facts import CatalogFacts, FactsSlot
from services.inference.follower import Follower
from services.inference.live_bundle import LiveBundleFile
from services.inference.loading import load_bundle
from services.inference.model_slot import ModelSlot
from services.inference.popular import PopularNow
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.rpc.engines import Engine
from services.inference.rpc.model_servicer import ModelServicer
from services.inference.rpc.recommender_servicer import RecommenderServicer
from services.inference.rpc.server import Health, build_server
from services.inference.rpc.trial_methods import TrialDesk
from services.inference.standing import Standing
from services.inference.trial_slot import TrialSlot
from services.registry import promotion, trials
from services.registry.trial_status import newest_trials
from tests.fakes import model_registry
from tests.fakes.clock import START, FakeClock
from tests.fakes.fleet import FakeFleet
from tests.fakes.history_reader import FakeHistoryReader
from tests.fakes.item_counters import FakeItemCounters
from tests.fakes.loads import in_thread
from tests.fakes.model_registry import PASSED, FakeModelRegistry
from tests.fakes.result_cache import FakeResultCache
from tests.fakes.tiny_bundle import write_bundle
from tests.fakes.trials import FakeTrials

if TYPE_CHECKING:  # these two exist in the stubs only
    from nightjar.v1.model_service_pb2_grpc import ModelServiceAsyncStub
    from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceAsyncStub


class LocalNotices:
    """Both ends of the notice in one event loop: announced from any thread, waited for here."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._announced = asyncio.Event()

    def announce(self, generation: int) -> None:
        self._loop.call_soon_threadsafe(self._announced.set)

    async def wait(self, timeout_s: float) -> bool:
        try:
            await asyncio.wait_for(self._announced.wait(), timeout_s)
        except TimeoutError:
            return False
        self._announced.clear()
        return True


class FolderPerVersion:
    """The reading side of a BundleStore: a location is a folder."""

    def publish(self, draft: Path, manifest: Manifest) -> str:
        raise NotImplementedError

    def fetch(self, location: str) -> Path:
        verify(Path(location))
        return Path(location)


class ServingBench:
    """What a worker is made of, with the outside world in reach of the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.registry = FakeModelRegistry()
        self.trials = FakeTrials(self.registry)
        self.notices = LocalNotices()
        self.cache = FakeResultCache()
        self.histories = FakeHistoryReader(self.cache)
        self.counters = FakeItemCounters()
        self.recorder = Recorder()
        self.health = Health()
        clock = FakeClock()
        self.fleet = FakeFleet(clock)
        self.slot = ModelSlot(in_thread(partial(load_bundle, FolderPerVersion())), clock, timedelta(0))
        self.follower = Follower(
            self.slot,
            self.registry,
            self.notices,
            clock,
            self.recorder,
            LiveBundleFile(folder / "live-model.json"),
            Standing(self.fleet, "me", clock, 0.5, self.health.tell),
        )
        self.availability = AvailabilitySlot(clock)
        self.availability.replace(EMPTY, None)
        self.background = BackgroundTasks(limit=64)
        self.on_trial = TrialSlot(self.availability, clock)
        self.facts = FactsSlot()
        self.facts.replace(CatalogFacts.empty(), ())
        self.popular = PopularNow(self.counters, self.slot.model, self.availability, clock, self.facts)
        self.recommender = Recommender(
            self.slot.model,
            self.availability,
            self.histories,
            self.cache,
            self.background,
            self.recorder,
            self.on_trial,
            facts=self.facts,
            popular=self.popular,
            memory=AnswerMemory(600),
        )
        self.recommendations: RecommenderServiceAsyncStub
        self.models: ModelServiceAsyncStub
        self.channel: grpc.aio.Channel
        self.address = ""

    def publish(
        self, version: str, vectors: npt.NDArray[np.float32], *, verdict: Verdict | None = PASSED, age_s: float = 0.0
    ) -> None:
        """Writes and registers a bundle; the gate passed it unless the test says otherwise."""
        folder = self._folder / version
        write_bundle(folder, version, vectors=vectors)
        registered = model_registry.model(version, verdict=verdict, age_s=age_s)
        self.registry.register(replace(registered, location=str(folder), digest=sha256_of(folder / MANIFEST)))

    async def promote(self, version: str) -> None:
        """Makes a version live and waits until it serves; for tests that don't run the follower's task."""
        promotion.promote(self.registry, self.notices, self.registry.get(version).version, "test")  # type: ignore[arg-type]
        await self.follower.catch_up()


@asynccontextmanager
async def serving(folder: Path, engine: Engine = "grpcio") -> AsyncIterator[ServingBench]:
    """A bench whose server listens on a free port, with a channel to it."""
    bench = ServingBench(folder)
    await bench.health.starting()
    servicer = ModelServicer(
        bench.registry,
        promote=partial(promotion.promote, bench.registry, bench.notices),
        rollback=partial(promotion.rollback, bench.registry, bench.notices),
        trials=TrialDesk(
            start=partial(trials.start, bench.registry, bench.trials, FolderPerVersion()),
            end=partial(trials.end, bench.trials),
            newest=lambda limit: newest_trials(bench.trials, bench.fleet, START, limit),
        ),
    )
    recommender = RecommenderServicer(
        bench.recommender, bench.popular, DEFAULT_EVENT_TYPES, FakeClock(), bench.recorder
    )
    server = build_server(recommender, servicer, bench.health, bench.recorder, engine)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            bench.channel, bench.address = channel, f"127.0.0.1:{port}"
            bench.recommendations = RecommenderServiceStub(channel)
            bench.models = ModelServiceStub(channel)
            yield bench
    finally:
        await server.stop(grace=1)
        await bench.background.drain(timeout_s=1)


async def failure(call: Any) -> tuple[StatusCode, str, dict[str, Any]]:
    """Code, sentence and details by type name of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    error: Any = raised.value  # has what the stubs of from_call ask for, and awaits nothing
    rich = rpc_status.from_call(error)
    details = {}
    for packed in rich.details:
        detail = getattr(error_details_pb2, packed.TypeName().rpartition(".")[2])()
        packed.Unpack(detail)
        details[detail.DESCRIPTOR.name] = detail
    return raised.value.code(), raised.value.details() or "", details
