"""`python -m services.training [--challenger NAME] [--data-version N] [--origin TEXT]`: one training run. See --help.

Says how it goes as JSON lines on standard output: {"event": "stage", "name": ...}, {"event": "epoch", "epoch": 3,
"max_epochs": 8, "loss": ..., "valid_ndcg_at_10": ..., "examples_per_s": ..., "elapsed_s": ...}, and last either
{"event": "done", "version": ..., "metrics": {...}} or {"event": "failed", "reason": ..., "message": ...} with exit
status 1. Logs go to standard error; the catalog database has how it goes, too. SIGTERM ends it with status 143 and
nothing published.

Several processes fit one model under `torchrun --nproc-per-node=2 -m services.training`: each needs the same settings
and the same folders, and the first one reports, measures and publishes. `--ray-workers 2` does it under Ray Train.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import structlog

from services import logs, process, settings
from services.children.saying import said_to_its_end, say
from services.domain.errors import InvalidRequest, MissingDependency
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.training.asked import Asked

log = structlog.get_logger(__name__)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.training", description=__doc__)
    parser.add_argument(
        "--trigger", choices=["nightly", "manual"], default="manual", help="who asked, for log and database"
    )
    parser.add_argument("--as-of", default="", help="train on what happened before this ISO date or time, UTC")
    parser.add_argument("--data-version", type=int, help="train on exactly this version of the log; unset: the newest")
    parser.add_argument(
        "--origin", default="", help="whose work it is, such as night-12/warm; what is registered of it is not repeated"
    )
    parser.add_argument("--challenger", default="", help="train as this one of NIGHTJAR_SCHEDULE__CHALLENGERS says")
    parser.add_argument(
        "--repeat", default="", help="train as this version was: its settings, its data, what it started from"
    )
    parser.add_argument("--any-code", action="store_true", help="repeat what other code trained, too")
    parser.add_argument("--dry-run", action="store_true", help="look whether --repeat can be done, and train nothing")
    parser.add_argument(
        "--ray-workers", type=int, default=0, help="fit by so many processes under Ray Train; 0: without"
    )
    parser.add_argument(
        "--ray-address", default="local", help="of a Ray cluster; local: one of its own, on this machine"
    )
    arguments = parser.parse_args()
    if arguments.ray_workers < 0:
        parser.error("--ray-workers must be 0 or more")
    if arguments.repeat and (arguments.challenger or arguments.as_of or arguments.data_version is not None):
        parser.error("--repeat says all that --challenger, --as-of and --data-version would")
    if arguments.dry_run and not arguments.repeat:
        parser.error("--dry-run goes with --repeat")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    # Threads that wait for one another asleep: spinning, they are 5 times slower on cores shared with other processes.
    # The library reads it when torch is loaded, so torch is imported below and not above.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return said_to_its_end("training", lambda: _train(arguments))


def _train(arguments: argparse.Namespace) -> Mapping[str, Any] | None:
    """What there is to say of it in the end; None for a worker that only assists."""
    asked = _asked(arguments)
    loaded = settings.load()
    logs.configure(loaded.log_level, "training")  # before anything has a word to log: standard output is for JSON
    if asked.challenger:
        loaded = loaded.of_challenger(asked.challenger)
    if asked.repeats is not None:
        loaded, asked = _as_it_was(loaded, asked, any_code=arguments.any_code)
    process.begin("training", loaded)
    if arguments.dry_run:
        _look(loaded, asked)
        return {"dry_run": True}
    log.info("training_started", trigger=arguments.trigger, **asdict(asked))
    trigger, num, address = arguments.trigger, arguments.ray_workers, arguments.ray_address
    model = _registered_already(loaded, asked)
    if model is None:
        model = _under_ray(loaded, trigger, asked, num, address) if num else _run(loaded, trigger, asked)
    return None if model is None else {"version": model.version, "metrics": dict(model.metrics)}


def _asked(arguments: argparse.Namespace) -> Asked:
    until_us = _microseconds(arguments.as_of) if arguments.as_of else None
    repeats = ModelVersion(arguments.repeat) if arguments.repeat else None
    return Asked(until_us, arguments.data_version, arguments.challenger, arguments.origin, repeats)


def _as_it_was(loaded: settings.Settings, asked: Asked, *, any_code: bool) -> tuple[settings.Settings, Asked]:
    with _that_says_what_it_needs():
        from services.training import wiring
    return wiring.as_it_was(loaded, asked, any_code=any_code)


def _look(loaded: settings.Settings, asked: Asked) -> None:
    """Raises what keeps a repetition from being done."""
    with _that_says_what_it_needs():
        from services.training import repeating, wiring
    with repeating.that_needs_its_log(asked):
        wiring.look(loaded, asked)


def _registered_already(loaded: settings.Settings, asked: Asked) -> Model | None:
    """So that a crash between registering a version and hearing of it costs no second training."""
    if not asked.origin:
        return None
    with _that_says_what_it_needs():
        from services.training import wiring
    model = wiring.registered_already(loaded, asked)
    if model is not None:
        log.info("training_done_already", origin=asked.origin, version=model.version)
    return model


def _run(loaded: settings.Settings, trigger: str, asked: Asked) -> Model | None:
    """The registered model; None for a worker that only assists."""
    with _that_says_what_it_needs():
        from services.training import repeating, wiring
    if wiring.leads():
        with repeating.that_needs_its_log(asked):
            return wiring.recorded(
                loaded, trigger, say, lambda report: wiring.build(loaded, report, asked).run(asked.until_us)
            )
    wiring.build(loaded, _say_nothing, asked).assist(asked.until_us)
    return None


def _under_ray(loaded: settings.Settings, trigger: str, asked: Asked, num_workers: int, address: str) -> Model:
    with _that_says_what_it_needs():
        from services.training import repeating, wiring
        from services.training.ray_launcher import run_under_ray
    with repeating.that_needs_its_log(asked):
        return wiring.recorded(
            loaded, trigger, say, lambda report: run_under_ray(loaded, asked, num_workers, report, address)
        )


@contextmanager
def _that_says_what_it_needs() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingDependency(
            f"Training needs {error.name}; get it with `pip install 'nightjar-server[train]'`."
        ) from error


def _say_nothing(line: Mapping[str, Any]) -> None:
    """The leader speaks for all."""


def _microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest("--as-of", f"must be an ISO date or time such as 2026-01-31, not {text!r}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


if __name__ == "__main__":
    sys.exit(main())
