"""How long a check of the log takes, and how much memory.

`python -m benchmarks.data_check [millions ...]`: writes the log of `benchmarks.dataset` with so many million events
(default 1 20), then checks it as a night does, by `python -m services.training.checking`. Prints a line each and a JSON
line. 20 need 0.8 GB of disk.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def measure(home: str, as_of: str) -> dict[str, Any]:
    """Of the whole check, from its start to its end, imports and all.

    For a small process: to the system, what a child has held at most begins with what its parent held.
    """
    command = [sys.executable, "-m", "services.training.checking", "--as-of", as_of]
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env={**os.environ, "NIGHTJAR_HOME": home}, stdout=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.monotonic() - started
        said.seek(0)
        last = json.loads(said.read().splitlines()[-1])
    return {
        "events": last["num_events"],
        "passed": last["passed"],
        "wall_s": round(wall_s, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "events_per_s": round(last["num_events"] / wall_s),
        "peak_rss_mib": round(usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)),
    }


def main(millions: list[float]) -> None:
    from benchmarks.dataset import NUM_DAYS, START_US, write_log  # with torch, which `measure` must not hold
    from services.settings import load

    as_of = datetime.fromtimestamp(START_US / 1_000_000 + NUM_DAYS * 86_400, UTC).isoformat()
    rows = []
    for million in millions:
        with tempfile.TemporaryDirectory() as folder:
            write_log(load(home=Path(folder)).log_folder, int(million * 1_000_000))
            child = [sys.executable, "-m", "benchmarks.data_check", "--measure", folder, as_of]
            done = subprocess.run(child, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        rows.append(json.loads(done.stdout))
        print("  ".join(f"{name} {value:,}" for name, value in rows[-1].items()), flush=True)
    print(json.dumps({"benchmark": "data_check", "rows": rows}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(*sys.argv[2:])))
    else:
        main([float(each) for each in sys.argv[1:]] or [1.0, 20.0])
