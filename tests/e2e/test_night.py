"""Two nights on the real stack: events through Kafka, the scheduler's chain, all workers swap, and one is taken back.

Callers ask all the while; none of them is failed, and each is answered by a version that was live.
"""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.embedded import state
from nightjar import EventProducer, RecommenderClient
from services.adapters.delta_log import DeltaEventLog
from services.cli.datasets import sending, synthetic
from services.cli.datasets.dataset import Dataset
from services.settings import Settings
from tests.e2e.command import Nightjar
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(400)]

SETTINGS = {
    "NIGHTJAR_TRAIN__KIND": "ease",
    "NIGHTJAR_NIGHT__WATCH_S": "3",
    "NIGHTJAR_NIGHT__WATCH_MIN_CALLS": "20",
    "NIGHTJAR_INGEST__COMMIT_INTERVAL_S": "0.5",
    "NIGHTJAR_SCHEDULE__CHALLENGERS": '[{"name": "ease"}, {"name": "neighbours", "kind": "item_knn"}]',
}
NUM_EVENTS = 12_000


@pytest.fixture(scope="module")
def stack(nightjar: Nightjar) -> Iterator[Settings]:
    """A running stack whose log holds the events of 30 days, as its own settings see it."""
    nightjar.environment |= SETTINGS
    started = nightjar.run("up", "--detach")
    assert started.returncode == 0, started.stderr
    settings = state.connected(Settings(home=nightjar.home))
    _send(settings, synthetic(300, 200, NUM_EVENTS, now=datetime.now(UTC), span=timedelta(days=30)))
    yield settings
    nightjar.run("down")


def _send(settings: Settings, dataset: Dataset) -> None:
    servers = settings.kafka.bootstrap_servers
    assert servers is not None
    with EventProducer(servers) as producer:
        sending.send(dataset, producer)
    log = DeltaEventLog(settings.log_folder)
    wait_until(lambda: log.version() >= 0 and log.num_events() >= NUM_EVENTS, 60, "the log has them all")


class Callers:
    """Ask all the while; `versions` counts the replies of each version, `failures` has what went wrong."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._over = threading.Event()
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []

    @contextmanager
    def asking(self) -> Iterator["Callers"]:
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _ask(self) -> None:
        with RecommenderClient(self._target) as client:
            number = 0
            while not self._over.wait(0.01):
                number += 1
                try:
                    reply = client.recommend(f"user-{number % 300:05d}", 10)
                    self.versions[reply.model_version] += 1
                except Exception as error:  # noqa: BLE001 - counted, whatever it is
                    self.failures.append(repr(error))


def _night(nightjar: Nightjar) -> Mapping[str, Any]:
    """Runs one at once, and returns what `nights show` tells of it."""
    done = nightjar.run("nights", "run-now", "--wait")
    shown = nightjar.run("nights", "show", "--json")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{shown.stdout}"
    night: Mapping[str, Any] = json.loads(shown.stdout)
    return night


def _outputs(night: Mapping[str, Any], step: str) -> Mapping[str, Any]:
    outputs: Mapping[str, Any] = next(each["outputs"] for each in night["steps"] if each["name"] == step)
    return outputs


def test_two_nights_and_one_taken_back_under_calls(nightjar: Nightjar, stack: Settings) -> None:
    first = _night(nightjar)
    assert {step["state"] for step in first["steps"]} == {"done"}
    assert len(_outputs(first, "evaluate")["figures"]) == 2
    with Callers(f"{stack.serve.host}:{stack.serve.port}").asking() as callers:
        wait_until(lambda: callers.versions[first["version"]] > 20, 60, "the first model answers")
        second = _night(nightjar)
        wait_until(lambda: callers.versions[second["version"]] > 20, 60, "the second model answers")
        before = callers.versions[first["version"]]
        rolled_back = nightjar.run("models", "rollback", "--reason", "a test of the way back")
        assert rolled_back.returncode == 0, rolled_back.stderr
        wait_until(lambda: callers.versions[first["version"]] > before + 20, 60, "the first model answers again")
    assert callers.failures == []
    assert set(callers.versions) == {first["version"], second["version"]}
    assert _outputs(second, "load")["num_ready"] == stack.serve.num_workers
    assert _outputs(second, "watch")["since"]["num_calls"] > 20
    assert _outputs(second, "evaluate")["compared_with"] == first["version"]
    report = (nightjar.home / "nights" / str(second["night"]) / "report.md").read_text()
    assert f"champion ({first['version']})" in report
