"""What the launcher decides by itself; that two workers fit as one, `tests/integration` shows with a real Ray."""

import sys
from pathlib import Path

import pytest

from services.domain.errors import MissingDependency, NotEnoughData, StartFailed, TrainingFailed
from services.settings import load
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
        run_under_ray(load(home=tmp_path), None, 2, lambda _: None)
