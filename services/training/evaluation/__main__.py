"""`python -m services.training.evaluation --protocol P1|P2|P3 --data FOLDER`: a model kind on a data set. See --help.

Says how it goes as JSON lines on standard output: {"event": "stage", "name": "read"|"fit"|"measure"|"replay"},
{"event": "epoch", ...} as `python -m services.training` does, {"event": "day", "number": 3, "num_days": 14, ...}, and
last {"event": "done", "figures": {...}}, or {"event": "failed", "reason": ..., "message": ...} and exit status 1. Logs
go to standard error. SIGTERM ends it with status 143.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog

from services import process, settings
from services.children.saying import said_to_its_end, say
from services.domain.errors import MissingDependency
from services.training.evaluation.asked import Asked, changed

log = structlog.get_logger(__name__)


def main() -> int:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, and why: services/training/__main__
    return said_to_its_end("evaluation", lambda: {"figures": _run(arguments)})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.training.evaluation", description=__doc__)
    parser.add_argument("--protocol", choices=["P1", "P2", "P3"], required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of events.parquet, and items.parquet if any")
    parser.add_argument("--model", help="the model kind; unset: NIGHTJAR_TRAIN__KIND")
    parser.add_argument("--seed", type=int, help="unset: NIGHTJAR_TRAIN__SEED")
    parser.add_argument(
        "--replay", type=int, default=0, help="with P3: so many of the last days, night by night; 0: off"
    )
    parser.add_argument("--beside-full", action="store_true", help="with --replay: train each night from nothing, too")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="one training setting")
    return parser


def _asked(arguments: argparse.Namespace, loaded: settings.Settings) -> Asked:
    """The command line over the settings; changes that are named win over `--set`."""
    changes = list(arguments.set)
    changes += [] if arguments.model is None else [f"kind={arguments.model}"]
    changes += [] if arguments.seed is None else [f"seed={arguments.seed}"]
    train = changed(loaded.train, changes)
    return Asked(arguments.data, arguments.protocol, train, arguments.replay, arguments.beside_full)


def _run(arguments: argparse.Namespace) -> Mapping[str, Any]:
    loaded = settings.load()
    process.begin("evaluation", loaded)
    asked = _asked(arguments, loaded)
    log.info("evaluation_started", protocol=asked.protocol, data=str(asked.folder), kind=asked.train.kind)
    try:
        from services.training.evaluation import wiring
    except ImportError as error:
        raise MissingDependency(
            f"Evaluating needs {error.name}; get it with `pip install 'nightjar-server[train]'`."
        ) from error
    return wiring.evaluate(asked, say)


if __name__ == "__main__":
    sys.exit(main())
