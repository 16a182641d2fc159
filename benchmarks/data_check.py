"""How long a check of the log takes, and how much memory.

`python -m benchmarks.data_check [millions ...]`: writes the log of `benchmarks.dataset` with so many million events
(default 1 20), then checks it in a process of its own. Prints a line each and a JSON line. 20 need 0.8 GB of disk.
"""

import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.dataset import NUM_DAYS, START_US, write_log
from services.adapters.delta_log import DeltaEventLog
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.settings.checks import CheckSettings
from services.training.checking.check import check
from services.training.checking.windows import DAY_US
from services.training.evaluation.protocol_figures import peak_rss_mib


def measure(folder: Path) -> dict[str, Any]:
    """In this process."""
    before_mib, started = peak_rss_mib(), time.monotonic()
    log, now = DeltaEventLog(folder), datetime.fromtimestamp((START_US + NUM_DAYS * DAY_US) / 1_000_000, UTC)
    outcome = check(log, log.version(), now, DEFAULT_EVENT_TYPES, CheckSettings(), lambda _: None)
    wall_s = time.monotonic() - started
    return {
        "events": outcome.num_events,
        "passed": outcome.passed,
        "wall_s": round(wall_s, 1),
        "cpu_s": round(time.process_time(), 1),
        "events_per_s": round(outcome.num_events / wall_s),
        "peak_rss_mib": round(peak_rss_mib()),
        "of_it_before_mib": round(before_mib),
    }


def main(millions: list[float]) -> None:
    rows = []
    for million in millions:
        with tempfile.TemporaryDirectory() as folder:
            write_log(Path(folder) / "log", int(million * 1_000_000))
            child = [sys.executable, "-m", "benchmarks.data_check", "--measure", str(Path(folder) / "log")]
            done = subprocess.run(child, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print("  ".join(f"{name} {value:,}" for name, value in rows[-1].items()), flush=True)
    print(json.dumps({"benchmark": "data_check", "rows": rows}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
    else:
        main([float(each) for each in sys.argv[1:]] or [1.0, 20.0])
