"""Makes the file of shared events; a child, since what makes them would count as the memory of every later child."""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.beside.events import of_folder, planted
from benchmarks.beside.running import OURS

SETS: Final = {
    "dense": {"num_users": 6_000, "num_items": 3_500, "mean_length": 165, "shortest": 20},
    "sparse": {"num_users": 22_000, "num_items": 12_000, "mean_length": 9, "shortest": 5},
}
HELD_OUT_SEED: Final = 2


def main(options: argparse.Namespace) -> None:
    events = of_folder(options.data) if options.data else planted(**SETS[options.set])
    events = events.first_users(options.users or events.num_users)
    if options.newest:
        events = events.chosen(events.places_from_end < options.newest)
    held = np.random.default_rng(HELD_OUT_SEED).random(len(events)) < options.hold_out
    learned = events.chosen(~held)
    learned.save(options.folder / "learned.npz")
    events.chosen(held).save(options.folder / "held_out.npz")
    print(json.dumps({"users": events.num_users, "items": events.num_items, "events": len(learned)}))


def command(folder: Path, **options: Any) -> list[str]:
    """What to run for `learned.npz` and `held_out.npz` in a folder; an option that says nothing is left out."""
    words = [word for name, value in options.items() if value for word in (f"--{name.replace('_', '-')}", str(value))]
    return [OURS, "-m", "benchmarks.beside.making", str(folder), *words]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--set", choices=SETS, default="dense")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--users", type=int, default=0)
    parser.add_argument("--newest", type=int, default=0, help="of each user's events; 0: all")
    parser.add_argument("--hold-out", type=float, default=0.0, help="share of the events")
    main(parser.parse_args())
