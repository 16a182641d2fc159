"""What nights do on real days: a data set's last days come one by one, and after each a real night runs.

`python -m benchmarks.nights --data FOLDER [--nights 14] [--kind ease] [--set NAME=VALUE]`: FOLDER as for `nightjar
evaluate`. Every step is the one that a scheduler runs, each in its process, on a home of its own; only the clock is
moved. Prints a line a night, and last, as JSON, the first model beside the last one on the last part of the events.
"""

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from scheduler.children import LocalChildren
from scheduler.wiring import build_night, nights_folder
from services.adapters.delta_log import DeltaEventLog
from services.adapters.evaluation_folder import read_folder
from services.adapters.sql.engine import connect
from services.adapters.sql.night_book import SqlNightBook
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.nights import NIGHT
from services.domain.streams import LogBatch
from services.housekeeping import wiring as housekeeping
from services.settings import Settings

DAY_S: Final = 86_400
NIGHT_H: Final = 2


class MovedClock:
    """Fulfils Clock."""

    def __init__(self, now: datetime) -> None:
        self.moment = now

    def now(self) -> datetime:
        return self.moment


def days_of(folder: Path) -> list[list[Interaction]]:
    """The data set's events by day, both in order of time; days without any are left out."""
    data = read_folder(folder)
    if not data.has_times:
        raise SystemExit(f"{folder} has no times; its events cannot be replayed by day.")
    order = np.argsort(data.times_s, kind="stable")
    days: dict[int, list[Interaction]] = {}
    for number in order.tolist():
        time_s = int(data.times_s[number])
        days.setdefault(time_s // DAY_S, []).append(
            Interaction(
                EventId(f"event-{number}"),
                UserId(data.users.words[data.users.codes[number]]),
                ItemId(data.items.words[data.items.codes[number]]),
                "view",
                time_s * 1_000_000,
            )
        )
    return [days[day] for day in sorted(days)]


def nights(days: Sequence[Sequence[Interaction]], num_nights: int) -> Iterator[dict[str, Any]]:
    """Runs a night after each of the last days; yields what became of it."""
    settings = Settings()
    log, engine = DeltaEventLog(settings.log_folder), connect(settings.database_url)
    clock = MovedClock(_night_after(days[-num_nights]))
    house = housekeeping.build(settings, lambda: False)

    def pause(seconds: float) -> bool:
        clock.moment += timedelta(seconds=seconds)
        return False

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    night = build_night(settings, engine, clock, house, LocalChildren(), lambda: False, pause)
    book = SqlNightBook(engine, clock)
    log.append(LogBatch([event for day in days[:-num_nights] for event in day]))
    for day in days[-num_nights:]:
        log.append(LogBatch(list(day)))
        clock.moment = _night_after(day)
        start = time.monotonic()
        night.run("schedule")
        (run,) = night.runs.newest(1, NIGHT)
        outputs = {row.name: row.outputs or {} for row in book.steps(run.run_id)}
        figures = outputs.get("evaluate", {}).get("figures", {}).get(run.version or "", {})
        yield {
            "date": datetime.fromtimestamp(day[0].event_time_us / 1e6, UTC).date().isoformat(),
            "events": len(day),
            "state": run.state.value,
            "version": run.version,
            "detail": run.detail,
            "took_s": round(time.monotonic() - start, 1),
            **{name: figures.get(name) for name in FIGURES},
        }


FIGURES: Final = (
    "ndcg_at_10",
    "ndcg_vs_champion_at_10",
    "ndcg_vs_champion_at_10_low",
    "ndcg_vs_champion_at_10_high",
    "changed_share_at_10",
)


def _night_after(day: Sequence[Interaction]) -> datetime:
    midnight = (day[0].event_time_us // 1_000_000 // DAY_S + 1) * DAY_S
    return datetime.fromtimestamp(midnight, UTC) + timedelta(hours=NIGHT_H)


def beside_the_first(versions: Sequence[str], out: Path) -> Mapping[str, float]:
    """The last version's figures beside the first's, on the last part of the log that neither learned from."""
    version = str(DeltaEventLog(Settings().log_folder).version())
    command = [sys.executable, "-m", "services.training.judging", "--data-version", version, "--out", str(out)]
    ended = subprocess.run(
        [*command, "--champion", versions[0], "--challengers", versions[-1]], capture_output=True, text=True, check=True
    )
    figures: Mapping[str, float] = json.loads(ended.stdout.splitlines()[-1])["figures"][versions[-1]]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--nights", type=int, default=14)
    parser.add_argument("--kind", default="ease")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, NIGHTJAR_ left out"
    )
    parser.add_argument("--reports", type=Path, help="folder to keep the nights' reports in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = {"HOME": folder, "TRAIN__KIND": arguments.kind, "NIGHT__WATCH_S": "0", "LOG_LEVEL": "error"}
        given |= dict(each.split("=", 1) for each in arguments.set)
        os.environ.update({f"NIGHTJAR_{name}": value for name, value in given.items()})
        told = []
        for night in nights(days_of(arguments.data), arguments.nights):
            told.append(night)
            sys.stdout.write(json.dumps(night) + "\n")
            sys.stdout.flush()
        versions = [night["version"] for night in told if night["state"] == "succeeded"]
        summary: dict[str, Any] = {"nights": len(told), "promoted": len(versions)}
        if len(versions) > 1:
            figures = beside_the_first(versions, Path(folder) / "beside.json")
            summary |= {
                "first_ndcg_at_10": figures["champion_ndcg_at_10"],
                "last_ndcg_at_10": figures["ndcg_at_10"],
                "gain": figures["ndcg_vs_champion_at_10"],
                "gain_low": figures["ndcg_vs_champion_at_10_low"],
                "gain_high": figures["ndcg_vs_champion_at_10_high"],
            }
        if arguments.reports is not None:
            shutil.copytree(nights_folder(Settings()), arguments.reports)
        sys.stdout.write(json.dumps(summary) + "\n")


if __name__ == "__main__":
    main()
