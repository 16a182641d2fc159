"""What the launcher decides by itself; that two workers fit as one, `tests/integration` shows with a real Ray."""

import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from services.domain.errors import MissingDependency, NotEnoughData, StartFailed, TrainingFailed
from services.settings import load
from services.training import ray_launcher
from services.training.asked import Asked
from services.training.ray_launcher import gives_gpus, run_under_ray, told

SET_BY_THE_LAUNCHER = (
    "AUTH_MODE",
    "AUTH_TOKEN",
    "ENABLE_WINDOWS_OR_OSX_CLUSTER",
    "TRAIN_ENABLE_PREEMPTION_WATCHER",
    "TRAIN_WORKER_GROUP_START_TIMEOUT_S",
    "USAGE_STATS_ENABLED",
)


def test_the_error_that_says_what_to_do_is_told_whichever_worker_it_befell() -> None:
    missed = ConnectionResetError("peer closed")
    error = told({0: missed, 1: NotEnoughData("collect more"), 2: TrainingFailed("another")})
    assert isinstance(error, NotEnoughData)
    assert str(error) == "collect more"


def test_what_no_worker_can_explain_names_worker_and_error() -> None:
    error = told({1: ConnectionResetError("peer closed"), 2: OSError()})
    assert isinstance(error, TrainingFailed)
    assert "Worker 1" in str(error)
    assert "ConnectionResetError: peer closed" in str(error)


@pytest.mark.parametrize(("cpus", "gpus", "expected"), [(2, 0, False), (4, 2, True)])
def test_each_worker_gets_a_gpu_where_there_are_any(cpus: int, gpus: int, expected: bool) -> None:
    assert gives_gpus({"CPU": float(cpus), "GPU": float(gpus)}, 2) is expected


@pytest.mark.parametrize("has", [{"CPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}, {}])
def test_too_few_places_are_named_at_once(has: dict[str, float]) -> None:
    """Ray would wait for more without an end."""
    with pytest.raises(StartFailed, match=f"at most {min(has.values(), default=0):.0f}"):
        gives_gpus(has, 2)


def test_without_ray_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # as if it were not installed
    for name in SET_BY_THE_LAUNCHER:
        monkeypatch.setenv(f"RAY_{name}", "")  # so that it is taken back
    with pytest.raises(MissingDependency, match=r"nightjar-server\[train,ray\]"):
        run_under_ray(load(home=tmp_path), Asked(), 2, lambda _: None)


def test_nobody_listens_to_ray_any_more_when_a_run_was_told_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would end the process of whoever does, with a status of its own."""
    queue = pytest.importorskip("ray.util.queue")
    exceptions = pytest.importorskip("ray.exceptions")

    class Queue:
        """Ray's, as far as it is used: what waits for a line fails when it is shut down by force."""

        def __init__(self, **_: Any) -> None:
            self._ended = threading.Event()

        def get(self) -> None:
            self._ended.wait()
            raise exceptions.RayActorError

        def put(self, line: object) -> None:
            raise AssertionError(f"put {line}: whoever was told to stop does not wait")

        def shutdown(self, *, force: bool) -> None:
            assert force
            self._ended.set()

    monkeypatch.setattr(queue, "Queue", Queue)
    with pytest.raises(SystemExit), ray_launcher._heard(lambda _: None):
        raise SystemExit(143)
    assert "ray-lines" not in {thread.name for thread in threading.enumerate()}
