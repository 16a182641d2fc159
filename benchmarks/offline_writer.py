"""How fast one offline writer stores events, beside how fast kafka-python alone can read them; and how much memory.

Example: `python benchmarks/offline_writer.py --events 200000` prints one JSON line. The figures are those of a process
that may use one core (`--core`), so that the log's writer threads count as well.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from kafka import KafkaConsumer

from benchmarks import event_stream
from services.adapters.delta_log import DeltaEventLog
from services.adapters.kafka_source import KafkaDeadLetters, KafkaRecordSource
from services.domain.clock import SystemClock
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ports import RecordSource
from services.domain.streams import Counts, Partition, Record
from services.ingest.checkpointing import CheckpointLimits, run_checkpoints
from services.ingest.codec import Limits
from services.ingest.collector import collect_rarely
from services.ingest.dedupe import BYTES_AN_ID
from services.ingest.offline_writer import OfflineWriter
from services.settings import IngestSettings

MIB = 1_048_576


def measure(servers: str, topic: str, num_events: int, core: int) -> dict[str, Any]:
    """Runs `raw` and then `offline` in processes of their own on one core; records per second, and MiB."""
    return {
        "raw": _child("raw", servers, topic, num_events, core),
        "offline": measure_offline(servers, topic, num_events, core),
    }


def measure_offline(servers: str, topic: str, num_events: int, core: int) -> dict[str, Any]:
    """The offline writer alone."""
    return _child("offline", servers, topic, num_events, core)


def _child(what: str, servers: str, topic: str, num_events: int, core: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.offline_writer", what, servers, topic, str(num_events), str(core)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    report: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return report


def raw(servers: str, topic: str, num_events: int) -> dict[str, Any]:
    """kafka-python alone: the same topic in a group of its own, nothing done with the records."""
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=servers,
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=5_000,
        metrics_enabled=False,
    )
    consumer.partitions_for_topic(topic)
    count, start = 0, 0.0
    while count < num_events:
        for messages in consumer.poll(timeout_ms=500).values():
            start = start or time.perf_counter()
            count += len(messages)
    seconds = time.perf_counter() - start
    consumer.close(autocommit=False)
    return {"events_per_s": count / seconds}


def offline(servers: str, topic: str, num_events: int, home: Path) -> dict[str, Any]:
    """The offline writer as its process runs it, from the first record to the last commit."""
    collect_rarely()
    settings, stop = IngestSettings(), threading.Event()
    event_log, letters = DeltaEventLog(home), KafkaDeadLetters(servers)
    writer = OfflineWriter(
        event_log,
        letters,
        SystemClock(),
        types=DEFAULT_EVENT_TYPES,
        limits=Limits(settings.max_record_bytes, settings.max_future_s * 1_000_000),
        dedupe_window_us=settings.dedupe_window_s * 1_000_000,
        dedupe_max_ids=settings.dedupe_max_ids,
        max_consecutive_dead=settings.max_consecutive_dead,
    )
    source = _Counting(KafkaRecordSource(servers, uuid.uuid4().hex, [topic], writer), num_events, stop)
    limits = CheckpointLimits(settings.commit_rows, settings.commit_bytes, settings.commit_interval_s)
    run_checkpoints(source, writer, stop, limits)
    seconds = time.perf_counter() - source.start
    source.close()
    letters.close()
    stored = event_log.progress([Partition(topic, number) for number in range(event_stream.NUM_PARTITIONS)])
    counts = sum((each.counts for each in stored.values()), Counts())
    if counts != Counts(read=num_events, logged=num_events):
        raise SystemExit(f"the log does not hold what was sent: {counts}")
    return {
        "events_per_s": num_events / seconds,
        "rss_mib": source.rss_mib,
        "ids_mib": [num_events * tenth // 10 * BYTES_AN_ID // MIB for tenth in range(1, 11)],
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024,
    }


class _Counting:
    """A source that stops its loop after so many records, and looks at the process's memory ten times on the way."""

    def __init__(self, source: RecordSource, num_events: int, stop: threading.Event) -> None:
        self._source = source
        self._num_events = num_events
        self._stop = stop
        self._count = 0
        self.start = 0.0
        self.rss_mib: list[int] = []

    def poll(self, timeout_s: float) -> Sequence[Record]:
        records = self._source.poll(timeout_s)
        if records and not self.start:
            self.start = time.perf_counter()
        self._count += len(records)
        if self._count * 10 >= (len(self.rss_mib) + 1) * self._num_events:
            self.rss_mib.append(psutil.Process().memory_info().rss // MIB)
        if self._count >= self._num_events:
            self._stop.set()
        return records

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        self._source.seek(offsets)

    def pause(self) -> None:
        self._source.pause()

    def resume(self) -> None:
        self._source.resume()

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        self._source.commit(offsets)

    def close(self) -> None:
        self._source.close()


def _run_child(arguments: Sequence[str]) -> None:
    what, servers, topic, num_events, core = arguments
    psutil.Process().cpu_affinity([int(core)])
    if what == "raw":
        report = raw(servers, topic, int(num_events))
    else:
        with tempfile.TemporaryDirectory() as home:
            report = offline(servers, topic, int(num_events), Path(home))
    print(json.dumps(report))


def main() -> None:
    if len(sys.argv) == 6:
        _run_child(sys.argv[1:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--core", type=int, default=0)
    asked = parser.parse_args()
    with event_stream.broker() as servers:
        topic = event_stream.new_topic(servers)
        event_stream.produce(servers, topic, asked.events)
        print(json.dumps(measure(servers, topic, asked.events, asked.core)))


if __name__ == "__main__":
    main()
