"""`python -m services.training.tuning [--study NAME] [--trials N] [--budget-s S]`: one worker of a search.

Looks for better settings of the kind that NIGHTJAR_TRAIN__KIND names, on the log, by validation NDCG@10 alone, and
changes nothing. Any number of workers may search one study at once. Says how it goes as JSON lines on standard output:
{"event": "study", "data_version": 12, "num_done": 3, "best": {...}, "present": {...}}; for each trial {"event":
"begun", "number": 3, "settings": {...}}, {"event": "epoch", "number": 3, ...} and {"event": "trial", "number": 3,
"state": "complete", "ndcg_at_10": ..., "num_done": 4, "best": {...}, "present": {...}}; and last {"event": "done",
...}, or {"event": "failed", "reason": ..., "message": ...} with exit status 1. Logs go to standard error. SIGTERM ends
it with status 143; its trial is then marked as lost, and another worker may begin at once.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from services import process, settings
from services.children.saying import said_to_its_end, say
from services.domain.errors import MissingDependency

log = structlog.get_logger(__name__)

NO_BUDGET: Final = timedelta(days=3_650)


def main() -> int:
    started, arguments = datetime.now(UTC), _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, and why: services/training/__main__
    if arguments.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in arguments.cores.split(",")])
    return said_to_its_end("search", lambda: _run(arguments, started))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.training.tuning", description=__doc__)
    parser.add_argument("--study", default="", help="name of the search; unset: that of the kind")
    parser.add_argument("--trials", type=int, default=30, help="how many trials the study is to have, earlier included")
    parser.add_argument("--budget-s", type=float, default=0.0, help="seconds until no trial begins; 0: off")
    parser.add_argument("--data-version", type=int, help="of the log; unset: the newest")
    parser.add_argument("--cores", default="", help="the cores to keep to, such as 0,1; unset: all (Linux only)")
    return parser


def _run(arguments: argparse.Namespace, started: datetime) -> Mapping[str, Any]:
    loaded = settings.load()
    process.begin("tuning", loaded)
    log.info("search_started", kind=loaded.train.kind, study=arguments.study)
    end_time = started + (timedelta(seconds=arguments.budget_s) if arguments.budget_s else NO_BUDGET)
    try:
        from services.training.tuning import wiring
    except ImportError as error:
        raise MissingDependency(
            f"Searching needs {error.name}; get it with `pip install 'nightjar-server[train]'`."
        ) from error
    asked = wiring.Asked(arguments.study, arguments.data_version)
    return wiring.build(loaded, asked, say).run(arguments.trials, end_time)


if __name__ == "__main__":
    sys.exit(main())
