"""The swap of real processes: prepared everywhere, flipped at once; and what happens when a part of it is broken."""

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from services.domain.bundles import ENCODER, TABLES
from services.domain.errors import CatalogDown, WorkersNotReady
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.registry.promotion import promote, rollback
from services.registry.wiring import open_notice, open_registry, open_rollout
from services.settings import load
from tests import postgres
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_process import NUM_WORKERS, Serving, start
from tests.waiting import wait_until

pytestmark = pytest.mark.redis


class Site:
    """Replicas of one home, and an operator beside them. v1 is live; v2 is published."""

    def __init__(self, folder: Path, redis_url: str, num_replicas: int, timeout_s: float, **settings: str) -> None:
        self._stack = ExitStack()
        self.drafts, home = folder / "drafts", folder / "home"
        self.replicas: list[Serving] = []
        try:
            for number in range(num_replicas):
                self._start(home, redis_url, f"-{number}", settings)
            self.settings = self.replicas[0].settings.model_copy(
                update={
                    "redis": load(redis={"url": redis_url}).redis,
                    "swap": load(swap={"prepare_timeout_s": timeout_s}).swap,
                }
            )
            for seed, version in enumerate(("v1", "v2")):
                self.replicas[0].publish(self.drafts, version, item_vectors(seed))
            self.registry, self.rollout = open_registry(self.settings), open_rollout(self.settings)
            # They began on a database without tables; a swap waits only for those that it knows of.
            wait_until(lambda: len(self.rollout.fleet.workers()) == self.num_workers, what="all workers are known")
            self.promote("v1")
            wait_until(lambda: self.num_said("model_swapped") == self.num_workers, what="all serve v1")
        except BaseException:
            self.close()
            raise

    def _start(self, home: Path, redis_url: str, name: str, settings: dict[str, str]) -> None:
        serving = start(home, redis_url, replica=name, **settings)
        self.replicas.append(serving)
        self._stack.callback(_end, serving)

    def close(self) -> None:
        self._stack.close()

    @property
    def num_workers(self) -> int:
        return len(self.replicas) * NUM_WORKERS

    def promote(self, version: str) -> Assignment:
        notice = open_notice(self.settings)
        return promote(self.registry, notice, ModelVersion(version), "test", rollout=self.rollout)

    def roll_back(self) -> Assignment:
        return rollback(self.registry, open_notice(self.settings), "test", rollout=self.rollout)

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of this event in the logs of all replicas, one replica's after another's, in order."""
        return [line for each in self.replicas for line in each.said(event)]

    def num_said(self, event: str) -> int:
        return len(self.said(event))

    def all_serve(self, version: str, replicas: list[Serving] | None = None) -> None:
        wait_until(
            lambda: all(each.versions() == {version} for each in replicas or self.replicas), what=f"all serve {version}"
        )

    def in_background(self, change: Callable[[], Assignment]) -> "Change":
        return Change(change)


class Change(threading.Thread):
    """A promotion that goes on while the test does something to the workers."""

    def __init__(self, change: Callable[[], Assignment]) -> None:
        super().__init__(daemon=True)
        self._change = change
        self.made: Assignment | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.made = self._change()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def ends(self, timeout_s: float = 40) -> Assignment:
        self.join(timeout_s)
        assert self.error is None
        assert self.made is not None, "it still goes on"
        return self.made


def _end(serving: Serving) -> None:
    if serving.process.poll() is None:
        for worker in serving.workers():
            worker.send_signal(signal.SIGCONT)
        serving.process.terminate()
    serving.process.wait(timeout=30)


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Iterator[Site]:
    """Two replicas and a minute to prepare, unless the test says otherwise: (replicas, seconds)."""
    num_replicas, timeout_s = getattr(request, "param", (2, 60.0))
    site = Site(tmp_path, redis_url, num_replicas, timeout_s)
    yield site
    site.close()


def test_two_replicas_get_ready_first_and_flip_together_and_a_rollback_loads_nothing(site: Site) -> None:
    site.promote("v2")
    site.all_serve("v2")
    prepared = [line["timestamp"] for line in site.said("model_prepared") if line["version"] == "v2"]
    flipped = [line["timestamp"] for line in site.said("model_swapped") if line["new_version"] == "v2"]
    assert (len(prepared), len(flipped)) == (site.num_workers, site.num_workers)
    assert max(prepared) < min(flipped), "one worker flipped before another was ready"

    shutil.rmtree(site.settings.bundle_folder / "v1")
    site.roll_back()
    site.all_serve("v1")
    assert site.num_said("model_loaded") == 0
    assert site.num_said("preparation_opened") == 0  # said by the operator's process, not by a worker
    assert {worker.held for worker in site.rollout.fleet.workers()} == {("v1", "v2")}


def test_a_replica_that_is_killed_while_it_prepares_delays_the_swap_and_no_more(site: Site) -> None:
    """kill -9 of the process and its workers, after they were asked and before they have answered."""
    survivor, victim = site.replicas
    workers = victim.workers()
    for worker in workers:
        worker.suspend()
    change = site.in_background(lambda: site.promote("v2"))
    wait_until(lambda: num_prepared(survivor) == NUM_WORKERS, what="the survivor's workers are ready")
    assert survivor.versions() == {"v1"}, "it waits for the others"
    for each in (psutil.Process(victim.process.pid), *workers):
        each.kill()
    assert change.ends().version == "v2"
    site.all_serve("v2", [survivor])
    assert len(site.rollout.fleet.workers()) == NUM_WORKERS, "the dead are forgotten"


def num_prepared(serving: Serving) -> int:
    return sum(line["version"] == "v2" for line in serving.said("model_prepared"))


@pytest.mark.parametrize("site", [(1, 2.0)], indirect=True)
def test_a_worker_that_is_late_is_not_waited_for_and_follows(site: Site) -> None:
    """It turns callers away until it serves what the others do."""
    late, _ = site.replicas[0].workers()
    late.suspend()
    assert site.promote("v2").generation == 2
    late.resume()
    wait_until(lambda: site.num_said("model_swapped") == 2 * NUM_WORKERS, what="the late worker follows")
    site.all_serve("v2")
    assert [line["goes_on_serving"] for line in site.said("worker_is_behind")] == [False]
    assert [line["version"] for line in site.said("model_loaded")] == ["v2"]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("site", [(1, 60.0)], indirect=True)
def test_a_damaged_bundle_is_refused_by_name_and_the_old_one_serves(site: Site) -> None:
    for name, damage in ((TABLES, cut), (ENCODER, flip_a_bit)):
        path = site.settings.bundle_folder / "v2" / name
        whole = path.read_bytes()
        path.chmod(0o644)
        damage(path)
        with pytest.raises(WorkersNotReady, match=rf"0 of 2 workers are ready.*pid \d+\): BundleBroken: .*{name}"):
            site.promote("v2")
        path.write_bytes(whole)
    site.all_serve("v1")
    live = site.registry.live()
    assert live is not None
    assert live.version == "v1"
    site.promote("v2")
    site.all_serve("v2")


def test_without_redis_a_swap_is_slower_and_that_is_all(tmp_path: Path) -> None:
    """Both notices are lost; workers find preparation and flip by polling."""
    folder, port = tmp_path / "valkey", any_free()
    folder.mkdir()
    program = valkey.program(valkey.find_server(), folder, port, folder / "valkey.log")
    with running(program):
        site = Site(tmp_path, f"redis://{LOOPBACK}:{port}/0", 1, 60.0)
    try:
        site.promote("v2")
        site.all_serve("v2")
        assert site.num_said("model_loaded") == 0
    finally:
        site.close()


@pytest.mark.postgres
def test_a_database_that_goes_away_during_a_swap_only_delays_it(
    tmp_path: Path, redis_url: str, postgres_url: str
) -> None:
    site = Site(tmp_path, redis_url, 1, 60.0, DATABASE__URL=postgres_url)
    try:
        late, _ = site.replicas[0].workers()
        late.suspend()
        change = site.in_background(lambda: site.promote("v2"))
        wait_until(lambda: num_prepared(site.replicas[0]) == 1, what="one of two is ready")
        with postgres.away(postgres_url):
            late.resume()
            wait_until(lambda: site.num_said("catalog_down") >= NUM_WORKERS, what="the workers miss the database")
            with pytest.raises(CatalogDown):
                site.registry.live()
            assert site.replicas[0].versions() == {"v1"}
        assert change.ends().version == "v2"
        site.all_serve("v2")
        assert num_prepared(site.replicas[0]) == NUM_WORKERS
        assert site.num_said("model_loaded") == 0
    finally:
        site.close()
