"""Two sides, in turns: each run in a process of its own, whose last line is JSON and whose memory is its own.

In turns, so that what else the machine does falls on both. This process stays small: what it held when it started a
child would count as the child's.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

OURS: Final = sys.executable
THEIRS: Final = str(Path(__file__).parents[2] / ".venv-beside" / "bin" / "python")

Figures = dict[str, Any]


def run(command: Sequence[str]) -> Figures:
    """The JSON of its last line, and `peak_rss_mib`; ends this process with what it wrote when it fails."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        written = process.stdout.read() if process.stdout else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}:\n{written}")
    in_mib = 2**20 if sys.platform == "darwin" else 2**10
    return {**json.loads(written.splitlines()[-1]), "peak_rss_mib": round(used.ru_maxrss / in_mib)}


def in_turns(sides: Mapping[str, Sequence[str]], num_rounds: int) -> dict[str, list[Figures]]:
    """Each side's figures, a round after the other."""
    found: dict[str, list[Figures]] = {name: [] for name in sides}
    for round_number in range(1, num_rounds + 1):
        for name, command in sides.items():
            figures = run(command)
            found[name].append(figures)
            shown = "  ".join(f"{key} {value}" for key, value in figures.items() if not isinstance(value, list | dict))
            print(f"round {round_number}  {name}  load {os.getloadavg()[0]:.1f}  {shown}", file=sys.stderr, flush=True)
    return found


def median(runs: Sequence[Figures], key: str) -> float:
    return float(statistics.median(figures[key] for figures in runs))


def need_their_environment() -> None:
    if not Path(THEIRS).is_file():
        sys.exit("There is no .venv-beside with the other libraries; `make bench-beside` makes it.")
