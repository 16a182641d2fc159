"""How fast files of events get into the log, and what they take there.

Example: `python benchmarks/import_events.py --events 1000000` prints one JSON line: events per second from Parquet into
an empty log and into one that has them all, with two cores; the process's memory; bytes an event before and after the
log is compacted.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.adapters.delta_log.housekeeping import DeltaLogKeeper
from services.adapters.delta_log.importing import DeltaImportLog
from services.domain.clock import SystemClock
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.ingest.codec import Limits
from services.ingest.importing.bad_rows import BadRowReport
from services.ingest.importing.importer import Import, partition_of
from services.ingest.importing.mapping import Columns
from services.ingest.importing.sources import format_of, open_source

MIB: Final = 1_048_576
SPAN_US: Final = 7 * 86_400_000_000
TYPES: Final = np.array(["impression", "view", "click", "play", "cart", "purchase", "like", "rating"])


def measure_import(num_events: int = 1_000_000, runs: int = 1) -> dict[str, Any]:
    """Medians of `runs` imports of one file, each by a process of its own into an empty log; events per second.

    With `python -m`, from the repository's root. The time is that of the import, the file's digest included, without
    the start of the process.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.parquet"
        write_events(path, num_events)
        reports = [_child(path, Path(folder) / f"log{run}") for run in range(runs)]
        return {
            "num_events": num_events,
            "file_bytes": path.stat().st_size,
            "events_per_s": round(statistics.median(each["events_per_s"] for each in reports)),
            "duplicates_per_s": round(statistics.median(each["duplicates_per_s"] for each in reports)),
            "cpu_us_per_event": round(statistics.median(each["cpu_us_per_event"] for each in reports), 2),
            "peak_rss_mib": max(each["peak_rss_mib"] for each in reports),
            **compacted(Path(folder) / "log0"),
        }


def _child(path: Path, log: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.import_events", "--file", str(path), "--log", str(log)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return report


def measure_one(path: Path, log: Path) -> dict[str, Any]:
    """Imports a file, then the same events under another mapping: every one of them a duplicate."""
    started, cpu_before = time.perf_counter(), _cpu_s()
    counts = an_import(path, log, {}).run()
    took_s, cpu_s = time.perf_counter() - started, _cpu_s() - cpu_before
    started = time.perf_counter()
    again = an_import(path, log, {"surface": "imported"}).run()
    again_s = time.perf_counter() - started
    if counts.logged != counts.read or again.duplicate != counts.read:
        raise SystemExit(f"not every event was logged once: {counts}, then {again}")
    return {
        "events_per_s": counts.read / took_s,
        "duplicates_per_s": counts.read / again_s,
        "cpu_us_per_event": cpu_s / counts.read * 1e6,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // MIB,
    }


def an_import(path: Path, log: Path, constants: dict[str, str]) -> Import:
    format_name = format_of(path, None)
    source = open_source(path, format_name)
    columns = Columns.of_file(source.schema.names, {}, constants)
    return Import(
        source,
        columns,
        partition_of(path, columns, format_name),
        DeltaImportLog(log),
        BadRowReport(log.with_suffix(".bad.jsonl")),
        DEFAULT_EVENT_TYPES,
        Limits(65_536, 86_400_000_000),
        SystemClock(),
    )


def compacted(log: Path) -> dict[str, Any]:
    """Bytes an event in the log's files before and after compaction, and how long that took."""
    keeper = DeltaLogKeeper(log, target_file_bytes=128 * MIB, min_small_files=2)
    before, started = keeper.facts(), time.perf_counter()
    keeper.compact(lambda: True, dry_run=False)
    took_s, after = time.perf_counter() - started, keeper.facts()
    if before is None or after is None or before.num_events != after.num_events:
        raise SystemExit("compaction changed the number of events")
    return {
        "bytes_per_event": round(before.size_bytes / before.num_events, 1),
        "bytes_per_event_compacted": round(after.size_bytes / after.num_events, 1),
        "num_files": before.num_files,
        "num_files_compacted": after.num_files,
        "compaction_s": round(took_s, 2),
    }


def write_events(path: Path, num_events: int, seed: int = 1) -> None:
    """Realistic events in time order over a week: eleven fields, UUIDs for ids."""
    rng = np.random.default_rng(seed)
    newest_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    times_us = np.sort(rng.integers(newest_us - SPAN_US, newest_us, num_events))
    raw = rng.bytes(16 * num_events).hex()
    ids = [f"{x[:8]}-{x[8:12]}-{x[12:16]}-{x[16:20]}-{x[20:]}" for x in map(raw.__getitem__, _slices(num_events))]
    users, types = rng.zipf(1.2, num_events) % 100_000, TYPES[rng.integers(0, len(TYPES), num_events)]
    values = np.where(types == "rating", rng.integers(1, 6, num_events).astype(float), np.nan)
    table = pa.table(
        {
            "event_id": ids,
            "user_id": [f"user-{user:06}" for user in users],
            "item_id": [f"item-{item:05}" for item in rng.zipf(1.3, num_events) % 20_000],
            "type": types.tolist(),
            "event_time": pa.array(times_us, pa.timestamp("us", "UTC")),
            "value": pa.array(values, from_pandas=True),
            "session_id": [f"s-{user}-{day}" for user, day in zip(users, times_us // 86_400_000_000, strict=True)],
            "request_id": [ids[number // 10 * 10] for number in range(num_events)],
            "position": rng.integers(0, 20, num_events),
            "surface": np.array(["home", "search", "item"])[rng.integers(0, 3, num_events)].tolist(),
            "attributes": pa.array(
                [[("device", "ios")] if number % 4 == 0 else [] for number in range(num_events)],
                pa.map_(pa.string(), pa.string()),
            ),
        }
    )
    pq.write_table(table, path)


def _slices(num_ids: int) -> list[slice]:
    return [slice(32 * number, 32 * (number + 1)) for number in range(num_ids)]


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--file", type=Path, help="a child: import this file")
    parser.add_argument("--log", type=Path, help="a child: into this log")
    arguments = parser.parse_args()
    if arguments.file is not None:
        print(json.dumps(measure_one(arguments.file, arguments.log)))
    else:
        print(json.dumps(measure_import(arguments.events, arguments.runs)))


if __name__ == "__main__":
    main()
