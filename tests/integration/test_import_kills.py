"""An import into a real log, killed at random points and run again: in the end the log has exactly what it should."""

import json
import multiprocessing
import os
import random
import signal
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.adapters.delta_log import DeltaEventLog
from services.adapters.delta_log.importing import DeltaImportLog
from services.domain.clock import SystemClock
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.streams import Counts
from services.ingest.codec import Limits
from services.ingest.importing.bad_rows import BadRowReport
from services.ingest.importing.importer import Import, partition_of
from services.ingest.importing.mapping import Columns, TimeUnit
from services.ingest.importing.sources import open_source

NUM_ROWS, NUM_KILLS = 6_000, 12
START_S = 1_700_000_000


def write_file(path: Path) -> None:
    """Over three dates; every tenth row is bad, and every seventh repeats the id of one far before it."""
    ids = [f"e{n - 3_000}" if n >= 3_000 and n % 7 == 0 else f"e{n}" for n in range(NUM_ROWS)]
    source_rows = [n - 3_000 if n >= 3_000 and n % 7 == 0 else n for n in range(NUM_ROWS)]
    pq.write_table(
        pa.table(
            {
                "event_id": ids,
                "user_id": [f"u{n % 50}" for n in range(NUM_ROWS)],
                "item_id": ["book"] * NUM_ROWS,
                "type": ["wink" if n % 10 == 0 else "view" for n in range(NUM_ROWS)],
                "event_time": [START_S + n * 40 for n in source_rows],
            }
        ),
        path,
        row_group_size=1_000,
    )


def an_import(folder: Path) -> Import:
    path = folder / "events.parquet"
    source = open_source(path, "parquet")
    columns = Columns.of_file(source.schema.names, {}, {}, TimeUnit.SECONDS)
    return Import(
        source,
        columns,
        partition_of(path, columns, "parquet"),
        DeltaImportLog(folder / "log"),
        BadRowReport(folder / "bad.jsonl"),
        DEFAULT_EVENT_TYPES,
        Limits(65_536, 86_400_000_000),
        SystemClock(),
        commit_rows=100,
    )


def run_import(folder: Path, heard: Connection) -> None:
    """The process that is killed; says after each commit how far it is."""
    job = an_import(folder)
    Import(**{**vars(job), "on_progress": lambda counts: heard.send(counts.read)}).run()


def killed_run(processes: multiprocessing.context.ForkServerContext, folder: Path, chance: random.Random) -> int:
    """Starts an import and kills it some commits and a moment later; how far it was heard to be."""
    ours, theirs = processes.Pipe(duplex=False)
    process = processes.Process(target=run_import, args=(folder, theirs))
    process.start()
    theirs.close()
    reached = 0
    for _ in range(chance.randint(1, 6)):
        reached = ours.recv()
    ours.poll(chance.uniform(0, 0.02))  # somewhere between two commits
    if process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return reached


def test_an_import_killed_at_random_ends_in_the_exact_log(tmp_path: Path) -> None:
    """Law 1: read = logged + dead + duplicate, each row once, and each bad row reported once."""
    write_file(tmp_path / "events.parquet")
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    chance = random.Random(7)
    reached = [killed_run(processes, tmp_path, chance) for _ in range(NUM_KILLS)]
    assert reached == sorted(reached), "each run goes on where the log is"
    assert 0 < reached[-1] < NUM_ROWS

    counts = an_import(tmp_path).run()
    bad = [n for n in range(NUM_ROWS) if n % 10 == 0]
    good_ids = {f"e{n - 3_000 if n >= 3_000 and n % 7 == 0 else n}" for n in range(NUM_ROWS) if n % 10}
    num_good = NUM_ROWS - len(bad)
    assert counts == Counts(NUM_ROWS, len(good_ids), len(bad), num_good - len(good_ids))
    log = DeltaEventLog(tmp_path / "log")
    logged = Counter(row.event_id for events in log.scan(log.version()) for row in events.interactions)
    assert logged == Counter(good_ids)
    lines = (tmp_path / "bad.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["row"] for line in lines] == [n + 1 for n in bad]
