"""`python -m services.training.judging --data-version N --challengers V1 V2 --champion V --out FILE`: see --help.

Ranks the same held-out questions with each version, as they were published, and says how it goes as JSON lines on
standard output: {"event": "stage", "name": "read"}, {"event": "stage", "name": "judge", "version": ..., "role":
"champion"|"challenger"}, and last {"event": "done", "figures": {version: {name: float}}, "champion": version or null,
"champion_problem": sentence, "champion_saw_holdout": bool, "num_questions": n}, or {"event": "failed", "reason": ...,
"message": ...} with exit status 1. The file has slices and each user's figures, too. Logs go to standard error.
SIGTERM ends it with status 143.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services import process, settings
from services.children.saying import said_to_its_end, say
from services.domain.errors import MissingDependency
from services.training.judging.asked import Asked


def main() -> int:
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is loaded, and why: services/training/__main__
    return said_to_its_end("judging", lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.training.judging", description=__doc__)
    parser.add_argument("--data-version", type=int, required=True, help="of the log, whose last part is held out")
    parser.add_argument("--champion", help="the version that serves; unset: there is none to compare with")
    parser.add_argument("--challengers", nargs="+", required=True, metavar="VERSION", help="what may take its place")
    parser.add_argument("--out", type=Path, required=True, help="file for the whole result, JSON")
    return parser


def _run(arguments: argparse.Namespace) -> Mapping[str, Any]:
    asked = Asked(arguments.data_version, list(dict.fromkeys(arguments.challengers)), arguments.champion)
    loaded = settings.load()
    process.begin("judging", loaded)
    try:
        from services.training.judging import document, wiring
    except ImportError as error:
        raise MissingDependency(
            f"Judging needs {error.name}; get it with `pip install 'nightjar-server[train]'`."
        ) from error
    comparison = wiring.judge(loaded, asked, say)
    document.write(arguments.out, document.whole(comparison, asked.data_version))
    return document.short(comparison)


if __name__ == "__main__":
    sys.exit(main())
