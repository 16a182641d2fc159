"""A running load of gRPC calls around a swap: who answered, how fast, and whether each reply fits its version."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

import grpc
import numpy as np

from nightjar.v1.recommender_service_pb2 import RecommendRequest
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from services.cli.demo.expected import Answers
from services.domain.errors import StartFailed
from services.domain.ids import ModelVersion, UserId

# No retries: a failure that the SDK would mend in silence counts here. A connection each, so that all workers are met.
CHANNEL_OPTIONS = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
CALL_TIMEOUT_S = 2.0
NUM_CALLERS = 4  # closed loop, one call at a time each: enough to keep two workers busy, not to drown two cores
SWAP_TIMEOUT_S = 30.0


@dataclass
class LoadReport:
    """What the callers saw."""

    calls: int = 0
    failures: int = 0
    wrong: int = 0
    by_version: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)

    def percentile_ms(self, percent: float) -> float:
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else 0.0


async def load_around(
    target: str,
    user_ids: Sequence[UserId],
    k: int,
    answers: Answers,
    new_version: ModelVersion,
    swap: Callable[[], Awaitable[None]],
    seconds: float,
) -> LoadReport:
    """Calls for `seconds`, swaps, and calls on until every caller was answered by the new version for `seconds`."""
    report, stop = LoadReport(), asyncio.Event()
    newest: dict[int, str] = {}
    callers = [
        asyncio.create_task(_call_until(stop, number, target, user_ids, k, answers, report, newest))
        for number in range(NUM_CALLERS)
    ]
    try:
        await _unless_a_caller_dies(callers, asyncio.sleep(seconds))
        await _unless_a_caller_dies(callers, swap())
        deadline = time.monotonic() + SWAP_TIMEOUT_S
        while any(newest.get(number) != new_version for number in range(NUM_CALLERS)):
            if time.monotonic() > deadline:
                raise StartFailed(f"Model {new_version} was promoted, but not every worker serves it; see the logs.")
            await _unless_a_caller_dies(callers, asyncio.sleep(0.01))
        await _unless_a_caller_dies(callers, asyncio.sleep(seconds))
    finally:
        stop.set()
        await asyncio.gather(*callers, return_exceptions=True)
    return report


async def _unless_a_caller_dies(callers: Sequence[asyncio.Task[None]], step: Awaitable[None]) -> None:
    await step
    for caller in callers:
        if caller.done():
            caller.result()


async def _call_until(
    stop: asyncio.Event,
    number: int,
    target: str,
    user_ids: Sequence[UserId],
    k: int,
    answers: Answers,
    report: LoadReport,
    newest: dict[int, str],
) -> None:
    async with grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        recommender = RecommenderServiceStub(channel)
        for user_id in islice(cycle(user_ids), number, None):
            if stop.is_set():
                return
            start = time.perf_counter()
            report.calls += 1
            try:
                reply = await recommender.Recommend(RecommendRequest(user_id=user_id, k=k), timeout=CALL_TIMEOUT_S)
            except grpc.RpcError:
                report.failures += 1
                continue
            report.latencies_ms.append((time.perf_counter() - start) * 1_000)
            report.by_version[reply.model_version] += 1
            newest[number] = reply.model_version
            expected = answers.get((ModelVersion(reply.model_version), user_id))
            if expected != tuple(item.item_id for item in reply.items):
                report.wrong += 1
