"""`python -m services.inference.planning VERSION ...`: what it costs to serve each version, on this machine.

The last line on standard output is {"event": "done", "plan": ..., "figures": {version: {"plan_p50_ms": ...,
"plan_p99_ms": ..., "plan_core_us": ..., "index_recall_at_10": ...}}}, or {"event": "failed", "reason": ..., "message":
...} with exit status 1. Logs go to standard error.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from services import process, settings
from services.domain.errors import NightjarError
from services.domain.ids import ModelVersion

log = structlog.get_logger(__name__)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.inference.planning", description=__doc__)
    parser.add_argument("versions", nargs="+", metavar="VERSION")
    versions = [ModelVersion(version) for version in parser.parse_args().versions]
    try:
        loaded = settings.load()
        process.begin("planning", loaded)
        from services.inference.planning import measure, wiring  # a second of imports that --help spares

        _say({"event": "done", "plan": measure.PLAN, "figures": wiring.figures(loaded, versions)})
    except NightjarError as error:
        log.error("planning_failed", reason=error.reason.value, error=str(error))
        _say({"event": "failed", "reason": error.reason.value, "message": str(error)})
        return 1
    return 0


def _say(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
