"""One training run by several processes under Ray Train: the very run of `job`, started by Ray instead of torchrun.

Ray Train makes the group that `workers` joins, and ends all workers when one fails. Without the address of a cluster a
Ray of its own is started on this machine, listens on the loopback alone, and is ended with the run. ADR 0020.
"""

import io
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Any, Final

from services import logs
from services.domain.errors import MissingDependency, NightjarError, StartFailed, TrainingFailed
from services.domain.models import Model
from services.settings import Settings
from services.training.asked import Asked
from services.training.job import Report

OWN: Final = "local"
"""The address that stands for a Ray of the run's own."""
OBJECT_STORE_BYTES: Final = 80 * 2**20  # of shared memory; Ray takes no less than 75 MiB, and no data goes through it
LOG: Final = "log"
"""The only name in what a worker says when that is a line of its log."""
SHORT: Final = "/tmp"  # noqa: S108 - a folder of our own is made in it. A socket's path has at most 107 bytes (macOS: 103)
START_TIMEOUT_S: Final = 300  # larger: a worker that cannot start is noticed late; smaller: a busy machine fails
LAST_LINES_S: Final = 5.0  # larger: slow to stop when Ray has died; smaller: the last lines of a busy machine are lost


def run_under_ray(settings: Settings, asked: Asked, num_workers: int, report: Report, address: str = OWN) -> Model:
    """Trains as `TrainingJob.run` does, by so many workers; blocks, and returns what their leader registered.

    The workers need the same code and the same folders and servers as this process. Raises what a worker raised,
    TrainingFailed for what befell one, StartFailed without a usable Ray, and MissingDependency.
    """
    _keep_to_ourselves(address == OWN)
    try:
        from ray import train
        from ray.train.torch import TorchTrainer
    except ImportError as error:
        raise MissingDependency(
            f"Training under Ray needs {error.name}; get it with `pip install 'nightjar-server[train,ray]'`."
        ) from error
    settings = settings.model_copy(update={"home": settings.home_folder, "cache": settings.cache_folder})
    (runs := settings.home_folder / "run").mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="ray-", dir=runs) as storage,  # where all workers can see it, as Ray asks
        _ray(address, num_workers) as use_gpu,
        _heard(report) as tell,
    ):
        trainer = TorchTrainer(
            lambda: _work(settings, asked, tell),
            scaling_config=train.ScalingConfig(num_workers=num_workers, use_gpu=use_gpu),
            run_config=train.RunConfig(
                name="training",
                storage_path=storage,
                failure_config=train.FailureConfig(max_failures=0, controller_failure_limit=0),
                logging_config=train.LoggingConfig(log_level="WARNING"),
                # A Ray of our own has our environment already, and a worker that must be given one starts later.
                worker_runtime_env=None if address == OWN else {"env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}},
            ),
        )
        try:
            model: Model = trainer.fit().return_value
        except train.WorkerGroupError as error:
            raise told(error.worker_failures) from error
        except train.TrainingFailedError as error:
            raise TrainingFailed(f"Ray Train gave up; see what it needs and train again: {error}") from error
    return model


def _work(settings: Settings, asked: Asked, tell: Report) -> Model | None:
    """What each worker does, in a process of Ray's; the leader's model is what the run returns."""
    with redirect_stderr(_LogLines(tell)):
        logs.configure(settings.log_level, "training")
        from services.training import wiring

        if wiring.leads():
            return wiring.build(settings, tell, asked).run(asked.until_us)
        wiring.build(settings, lambda _: None, asked).assist(asked.until_us)
        return None


class _LogLines(io.TextIOBase):
    """A worker's standard error, passed on line by line: Ray's own passing on would bring all that Ray says, too."""

    def __init__(self, tell: Report) -> None:
        self._tell = tell
        self._begun = ""

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in whole:
            self._tell({LOG: line})
        return len(text)


def told(failures: Mapping[int, Exception]) -> NightjarError:
    """The first worker's error that says what to do; the others may only have missed the one that failed."""
    for _, failure in sorted(failures.items()):
        if isinstance(failure, NightjarError):
            return failure
    rank, failure = min(failures.items())
    return TrainingFailed(f"Worker {rank} failed, see the log and train again: {type(failure).__name__}: {failure}")


def _keep_to_ourselves(own: bool) -> None:
    """What Ray reads in the environment: before it is imported, since it reads it then. No statistics of use are sent.

    A Ray of our own asks whether further machines may join, and listens to all the world if so; a token of this run
    keeps other users of this machine out, and none is written into a home folder.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", str(START_TIMEOUT_S))
    if own:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # the name is history: it counts on Linux, too
        os.environ["GLOO_SOCKET_IFNAME"] = "lo0" if sys.platform == "darwin" else "lo"
        os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"  # a process less
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def _ray(address: str, num_workers: int) -> Iterator[bool]:
    """Connected to Ray within the block, and a Ray of our own gone after it; yields whether each worker gets a GPU."""
    import ray

    on_sigterm = signal.getsignal(signal.SIGTERM)
    with tempfile.TemporaryDirectory(prefix="nightjar-ray-", dir=SHORT, ignore_cleanup_errors=True) as folder:
        own: dict[str, Any] = {
            "num_cpus": num_workers,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_temp_dir": folder,
        }
        try:
            try:
                ray.init(address, configure_logging=False, log_to_driver=False, **(own if address == OWN else {}))
            except (OSError, RuntimeError, ValueError) as error:
                where = "on this machine" if address == OWN else f"at {address}; start the cluster, or name another"
                raise StartFailed(f"There is no Ray {where}: {error}") from error
            finally:
                signal.signal(signal.SIGTERM, on_sigterm)  # which Ray has replaced by one with another exit status
            yield gives_gpus(ray.cluster_resources(), num_workers)
        except SystemExit as stop:  # by SIGTERM, and with status 1 when it came while Ray waited
            raise SystemExit(128 + signal.SIGTERM) from stop
        finally:
            ray.shutdown()


def gives_gpus(has: Mapping[str, float], num_workers: int) -> bool:
    """Raises StartFailed when there are too few places for the workers: Ray would wait for more without an end."""
    cpus, gpus = int(has.get("CPU", 0)), int(has.get("GPU", 0))
    places = min(cpus, gpus) if gpus else cpus
    if places < num_workers:
        raise StartFailed(
            f"Ray has {cpus} CPUs and {gpus} GPUs, too few for {num_workers} workers; ask for at most {places}."
        )
    return gpus > 0


@contextmanager
def _heard(report: Report) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What the leader reports with, from another process; all of it has arrived here when the block ends."""
    from ray.exceptions import RayError
    from ray.util.queue import Queue

    lines = Queue(actor_options={"num_cpus": 0})

    def listen() -> None:
        with suppress(RayError):  # Ray died: whoever waits for the run is told
            while (line := lines.get()) is not None:
                if (text := line.get(LOG)) is not None:
                    sys.stderr.write(f"{text}\n")
                else:
                    report(line)

    listener = threading.Thread(target=listen, name="ray-lines", daemon=True)
    listener.start()
    try:
        yield lines.put
    finally:
        if not isinstance(sys.exception(), SystemExit):  # else it was told to stop, and is not to wait
            with suppress(RayError):
                lines.put(None)
            listener.join(LAST_LINES_S)
        with suppress(RayError):
            lines.shutdown(force=True)  # whoever still waits for a line of a Ray that is gone has its process ended
        listener.join(LAST_LINES_S)
