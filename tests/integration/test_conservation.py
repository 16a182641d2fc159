"""Law 1 under fire: writers that are killed two hundred times, at every step, lose nothing and repeat nothing."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import IO

import pytest

from tests.integration.conservation import RedisServer, Stream, check_log, wait_until_redis_is_complete
from tests.integration.crashing_writers import OFFLINE_STEPS, ONLINE_STEPS
from tests.integration.pipeline import Pipeline
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(600)]

NUM_OFFLINE_DEATHS, NUM_ONLINE_DEATHS = 126, 84


@pytest.fixture
def pipeline(kafka_servers: str, tmp_path: Path) -> Iterator[Pipeline]:
    redis_server = RedisServer(tmp_path / "valkey")
    with redis_server.running():
        built = Pipeline(kafka_servers, redis_server.url, tmp_path / "home")
        yield built
        built.producer.close()


class Mortals:
    """The process that forks writers; see crashing_writers."""

    def __init__(self, pipeline: Pipeline, log: IO[str]) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "tests.integration.crashing_writers", pipeline.servers, pipeline.topic,
                str(pipeline.settings.log_folder), pipeline.redis_url,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip

    def live_and_die(self, kind: str, step: str, when: float) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{kind} {step} {when}\n")
        self._process.stdin.flush()
        assert int(self._process.stdout.readline()) == -9, f"it did not die at {step}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def test_two_hundred_deaths_at_every_step_lose_and_repeat_nothing(pipeline: Pipeline, tmp_path: Path) -> None:
    stream, random = Stream(pipeline, seed=4), Random(7)
    orders = [("offline", OFFLINE_STEPS[n % 7] if n % 7 < 6 else "random") for n in range(NUM_OFFLINE_DEATHS)]
    orders += [("online", ONLINE_STEPS[n % 5] if n % 5 < 4 else "random") for n in range(NUM_ONLINE_DEATHS)]
    random.shuffle(orders)
    with (tmp_path / "mortals.log").open("w") as log:
        mortals = Mortals(pipeline, log)
        try:
            for kind, step in orders:
                stream.send(random.randrange(5, 25))
                mortals.live_and_die(kind, step, random.uniform(0.1, 0.6) if step == "random" else 1)
        finally:
            mortals.close()
    with pipeline.writer("offline"), pipeline.writer("online"):
        wait_until(lambda: pipeline.counts().read == stream.num_records, timeout_s=60, what="the rest of the stream")
        wait_until_redis_is_complete(pipeline, stream)
    assert len(orders) >= 200
    check_log(pipeline, stream)
