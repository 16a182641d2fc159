"""The way in, measured: how fast events get from Kafka and from files into the log and into Redis, and how soon.

Example: `make bench-ingest` prints a table and one JSON line; it takes about 15 minutes. Each figure is the median of
`--runs` runs on a Kafka and a Valkey of its own, with librdkafka as the producer. `--memory-events` is the length of
the one long run in which the offline writer's memory is watched.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import event_stream, import_events, offline_writer, online_writer

CORE = 0  # that the raw consumer and the offline writer share, one after the other
VISIBLE_EVENTS_PER_S, VISIBLE_S = 1_000, 20.0


@dataclass
class Runs:
    """What each run found."""

    raw: list[float] = field(default_factory=list)
    offline: list[float] = field(default_factory=list)
    online: list[float] = field(default_factory=list)
    visible_p50_ms: list[float] = field(default_factory=list)
    visible_p99_ms: list[float] = field(default_factory=list)
    imported: list[float] = field(default_factory=list)
    long: Mapping[str, Any] = field(default_factory=dict)


def measure(num_events: int, num_runs: int, num_memory_events: int, num_imported: int, console: Console) -> Runs:
    runs = Runs()
    with event_stream.broker() as servers, online_writer.store() as redis_url:
        topic = event_stream.new_topic(servers)
        event_stream.produce(servers, topic, num_events)
        for _ in track(range(num_runs), "writers", console=console):
            stored = offline_writer.measure(servers, topic, num_events, CORE)
            runs.raw.append(stored["raw"]["events_per_s"])
            runs.offline.append(stored["offline"]["events_per_s"])
            applied = online_writer.measure_throughput(servers, topic, redis_url, num_events)
            runs.online.append(applied["events_per_s"])
        for _ in track(range(num_runs), "visible", console=console):
            visible = online_writer.measure_visible_ms(
                servers, redis_url, events_per_s=VISIBLE_EVENTS_PER_S, seconds=VISIBLE_S
            )
            runs.visible_p50_ms.append(visible["p50"])
            runs.visible_p99_ms.append(visible["p99"])
        console.print(f"memory: {num_memory_events:,} events")
        long_topic = event_stream.new_topic(servers)
        event_stream.produce(servers, long_topic, num_memory_events, seed=2)
        runs.long = offline_writer.measure_offline(servers, long_topic, num_memory_events, CORE)
    for _ in track(range(num_runs), "import", console=console):
        runs.imported.append(import_events.measure_import(num_imported)["events_per_s"])
    return runs


def report_of(runs: Runs) -> dict[str, Any]:
    """The figures of the JSON line; rates in events per second."""
    return {
        "raw_consumer_records_per_s": round(statistics.median(runs.raw)),
        "offline_events_per_s": round(statistics.median(runs.offline)),
        "offline_share_of_raw": round(
            statistics.median(offline / raw for offline, raw in zip(runs.offline, runs.raw, strict=True)), 3
        ),
        "online_events_per_s": round(statistics.median(runs.online)),
        "visible_ms": {
            "p50": round(statistics.median(runs.visible_p50_ms), 1),
            "p99": round(statistics.median(runs.visible_p99_ms), 1),
        },
        "import_events_per_s": round(statistics.median(runs.imported)),
        "peak_rss_mib": runs.long["peak_rss_mib"],
        "rss_mib_by_tenths": runs.long["rss_mib"],
        "of_which_ids_mib": runs.long["ids_mib"],
    }


def table_of(runs: Runs, report: dict[str, Any]) -> Table:
    table = Table("figure", "median", "lowest", "highest", title="The way in")
    rows = (
        ("raw kafka-python consumer, records/s on one core", runs.raw),
        ("offline writer, events/s on the same core", runs.offline),
        ("online writer, events/s a process", runs.online),
        ("import from Parquet, events/s", runs.imported),
    )
    for name, values in rows:
        table.add_row(name, *(f"{value:,.0f}" for value in (statistics.median(values), min(values), max(values))))
    for name, values in (("p50", runs.visible_p50_ms), ("p99", runs.visible_p99_ms)):
        shown = (f"{value:.1f}" for value in (statistics.median(values), min(values), max(values)))
        table.add_row(f"produced to visible in Redis, {name}, ms", *shown)
    rss, ids = report["rss_mib_by_tenths"], report["of_which_ids_mib"]
    without_ids = [total - of_ids for total, of_ids in zip(rss, ids, strict=True)]
    table.add_section()
    for name, values in (("memory", rss), ("memory without the ids it remembers", without_ids)):
        shown = (str(value) for value in (statistics.median_low(values), min(values), max(values)))
        table.add_row(f"offline writer's {name}, MiB over ten tenths", *shown)
    table.add_row("offline writer's memory at its peak, MiB", str(report["peak_rss_mib"]), "", "")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000, help="events of a run of the writers")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory-events", type=int, default=5_000_000)
    parser.add_argument("--import-events", type=int, default=1_000_000)
    asked = parser.parse_args()
    console = Console(stderr=True)
    runs = measure(asked.events, asked.runs, asked.memory_events, asked.import_events, console)
    report = report_of(runs)
    Console().print(table_of(runs, report))
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
