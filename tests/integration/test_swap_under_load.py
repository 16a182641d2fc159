"""Law 3 on a real gRPC server: swaps and rollbacks under load lose no request and mix no two versions."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nightjar.v1 import model_service_pb2 as model_wire
from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.ids import UserId
from services.inference.rpc.engines import Engine
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_bench import ServingBench, serving

NUM_SWAPS = 20
NUM_CALLERS = 8
NUM_USERS = 12
NUM_ITEMS = 60
K = 10


def expected_ids(vectors: npt.NDArray[np.float32], history_rows: tuple[int, ...]) -> list[str]:
    """What the mean encoder over these vectors recommends, worked out the slow way."""
    user_vector = np.mean([vectors[row - 1] for row in history_rows], axis=0, dtype=np.float32)
    order = np.argsort(-(vectors @ user_vector), kind="stable")
    return [f"item-{position + 1}" for position in order if position + 1 not in history_rows][:K]


class Load:
    """Callers that ask for one user after another until told to stop, and keep every reply and failure."""

    def __init__(self, bench: ServingBench, histories: Mapping[str, tuple[int, ...]]) -> None:
        self._bench = bench
        self._histories = histories
        self.replies: list[tuple[str, wire.RecommendResponse]] = []
        self.failures: list[Exception] = []
        self.stopping = False

    async def call_on(self, start: int) -> None:
        users = sorted(self._histories)
        number = start
        while not self.stopping:
            user_id = users[number % len(users)]
            number += 1
            try:
                reply = await self._bench.recommendations.Recommend(wire.RecommendRequest(user_id=user_id, k=K))
            except Exception as error:  # noqa: BLE001 - whatever fails is a broken promise, and is counted
                self.failures.append(error)
            else:
                self.replies.append((user_id, reply))


async def swap_often(bench: ServingBench, versions: list[str], load: Load) -> None:
    """Promotes and rolls back in turns; each change waits until it serves and some replies came from it."""
    for number in range(NUM_SWAPS):
        if number % 4 == 3:
            back = await bench.models.RollbackModel(model_wire.RollbackModelRequest(actor="test"))
            generation = back.generation
        else:
            wanted = versions[(number + 1) % len(versions)]
            if wanted == bench.slot.version:
                wanted = versions[number % len(versions)]
            request = model_wire.PromoteModelRequest(version=wanted, actor="test")
            generation = (await bench.models.PromoteModel(request)).generation
        num_before = len(load.replies)
        async with asyncio.timeout(20):
            while bench.slot.generation != generation or len(load.replies) < num_before + NUM_CALLERS:
                assert not load.failures
                await asyncio.sleep(0)  # lets the callers go on


async def test_twenty_swaps_under_load_fail_no_call_and_mix_no_versions(tmp_path: Path, engine: Engine) -> None:
    vectors = {f"v{seed}": item_vectors(seed, NUM_ITEMS, dim=8) for seed in range(3)}
    histories = {f"user-{n}": (n + 1, 2 * n + 2, 3 * n + 3) for n in range(NUM_USERS)}
    async with serving(tmp_path, engine) as bench:
        for version, table in vectors.items():
            bench.publish(version, table)
        for user_id, rows in histories.items():
            item_ids = tuple(f"item-{row}" for row in rows)
            bench.histories.histories[UserId(user_id)] = history_of(*item_ids, consumed=item_ids)
        await bench.promote("v0")
        follower = asyncio.create_task(bench.follower.run(poll_interval_s=5))
        load = Load(bench, histories)
        callers = [asyncio.create_task(load.call_on(start)) for start in range(NUM_CALLERS)]
        try:
            await swap_often(bench, list(vectors), load)
        finally:
            load.stopping = True
            await asyncio.gather(*callers)
            follower.cancel()

    assert load.failures == []
    assert bench.recorder.value("nightjar_model_swaps_total", outcome="swapped") == NUM_SWAPS + 1
    assert set(Counter(reply.model_version for _, reply in load.replies)) == set(vectors)
    assert {reply.cache_hit for _, reply in load.replies} == {True, False}
    expected = {
        (version, user_id): expected_ids(table, rows)
        for version, table in vectors.items()
        for user_id, rows in histories.items()
    }
    for user_id, reply in load.replies:
        assert [item.item_id for item in reply.items] == expected[reply.model_version, user_id]
