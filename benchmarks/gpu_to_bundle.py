"""Seconds from raw events to a bundle, on this machine's GPU, or on its CPU without one.

`python -m benchmarks.gpu_to_bundle --data FOLDER [field=value ...]`: an evaluation folder (see `nightjar evaluate
--help`), such as ml-1m: read, cut by protocol P1, fitted, measured, and written as a bundle's draft, with the seconds
of each beside HR@10 and NDCG@10. `--events 20000000` instead: a log of so many synthetic events (138 thousand users, 27
thousand items; writing it is not counted), of which `python -m services.training` makes a published bundle. Fields are
those of TrainSettings. Prints device, versions, command and a JSON line. The figures on a GPU are still to be measured:
it has not been run on one; `--events 20000 max_epochs=1` shows on a CPU that it runs.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.dataset import write_log
from benchmarks.gpu_card import conditions, peaks
from services.adapters.evaluation_folder import read_folder
from services.settings import TrainSettings, load
from services.training.configured import configured_model
from services.training.evaluation.protocol_figures import figures_of
from services.training.evaluation.protocols import Protocol, cut
from services.training.export import write_draft
from services.training.kinds.popularity import most_telling


def of_folder(folder: Path, fields: Mapping[str, str]) -> dict[str, Any]:
    """In this process."""
    train = TrainSettings.model_validate(fields)
    times, started = list[tuple[str, float]](), time.monotonic()

    def begins(stage: str) -> None:
        times.append((stage, time.monotonic() - started))

    begins("read")
    data, model = read_folder(folder), configured_model(train)
    figures = figures_of(data, Protocol.NEXT_ITEM, model, train.max_history, print, begins)
    begins("export")
    dataset = cut(data, Protocol.NEXT_ITEM, validates=model.capabilities.validates).dataset
    with tempfile.TemporaryDirectory() as draft:
        write_draft(Path(draft), model, dataset.vocabulary, most_telling(dataset), train.max_history)
    begins("done")
    reached = {"hr_at_10": round(figures.hr_at_10, 4), "ndcg_at_10": round(figures.ndcg_at_10, 4)}
    return {"events": len(data.times_s), **reached, **_seconds(times), **peaks()}


def of_log(num_events: int, fields: Mapping[str, str]) -> dict[str, Any]:
    """In a process of its own, as every night."""
    with tempfile.TemporaryDirectory() as home:
        write_log(load(home=Path(home)).log_folder, num_events)
        environment = {
            **os.environ,
            **{f"NIGHTJAR_TRAIN__{name.upper()}": value for name, value in fields.items()},
            "NIGHTJAR_HOME": home,
        }
        times, started, last = [("start", 0.0)], time.monotonic(), dict[str, Any]()
        command = [sys.executable, "-m", "services.training"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as training:
            for line in training.stdout or ():
                last = json.loads(line)
                print(line, end="", flush=True)
                if last["event"] != "epoch":
                    times.append((last.get("name", last["event"]), time.monotonic() - started))
        if last.get("event") != "done":
            raise SystemExit(f"The training failed: {last.get('message', 'see its log above')}")
    return {"events": num_events, "ndcg_at_10": round(last["metrics"]["ndcg_at_10"], 4), **_seconds(times)}


def _seconds(times: list[tuple[str, float]]) -> dict[str, float]:
    """Of each stage, and of all."""
    return {
        **{f"{name}_s": round(until - since, 1) for (name, since), (_, until) in pairwise(times)},
        "wall_s": round(times[-1][1] - times[0][1], 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="an evaluation folder")
    source.add_argument("--events", type=int, help="synthetic events in a log")
    parser.add_argument("fields", nargs="*", help="field=value of TrainSettings, such as dim=256")
    arguments = parser.parse_args()
    chosen = dict(each.split("=", 1) for each in arguments.fields)
    row = of_folder(arguments.data, chosen) if arguments.data else of_log(arguments.events, chosen)
    print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps({"benchmark": "gpu_to_bundle", **row, **conditions()}))
