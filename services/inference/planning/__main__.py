"""`python -m services.inference.planning VERSION ...`: what it costs to serve each version, on this machine.

The last line on standard output is {"event": "done", "plan": ..., "figures": {version: {"plan_p50_ms": ...,
"plan_p99_ms": ..., "plan_core_us": ..., "index_recall_at_10": ...}}}, or {"event": "failed", "reason": ..., "message":
...} with exit status 1. Logs go to standard error.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from services import process, settings
from services.children.saying import said_to_its_end
from services.domain.ids import ModelVersion


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.inference.planning", description=__doc__)
    parser.add_argument("versions", nargs="+", metavar="VERSION")
    versions = [ModelVersion(version) for version in parser.parse_args().versions]
    return said_to_its_end("planning", lambda: _run(versions))


def _run(versions: Sequence[ModelVersion]) -> Mapping[str, Any]:
    loaded = settings.load()
    process.begin("planning", loaded)
    from services.inference.planning import wiring  # a second of imports that --help spares

    plans, figures = wiring.figures(loaded, versions)
    return {"plan": "; ".join(plans), "figures": figures}


if __name__ == "__main__":
    sys.exit(main())
