"""Our iALS beside `implicit`'s ALS on the CPU: seconds of fitting to equal quality, and peak memory, in turns.

`python -m benchmarks.beside_implicit [--set dense|sparse] [--data FOLDER]`, or `make bench-beside`, which makes
.venv-beside first. Both fit the same pairs with the same width and the same loss but for the scale of its target:
what is not there weighs 1, what is there 1 + 1 / unobserved, regularisation the same for all rows (ours usually grows
with a row's cells). A fifth of each user's items is held out; our evaluator's metrics judge both, users folded in from
the item vectors that each side ends with. Each round fits anew with each number of sweeps of --sweeps: `reached` is the
least number whose NDCG@10 is within 1% of what both sides reach, and its seconds are what is compared.

Where they differ: theirs takes three steps of conjugate gradients a row (`--exact`: Cholesky), ours is exact for short
rows and steps in blocks of dimensions for long ones, works out its loss in every sweep, and starts from the dataset
where theirs has its sparse matrix already. Prints each run on stderr, then a table of medians and a JSON line.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.beside import making
from benchmarks.beside.making import SETS
from benchmarks.beside.running import OURS, THEIRS, Figures, in_turns, median, need_their_environment, run

HELD_OUT: Final = 0.2
NEAR: Final = 0.99  # of the lesser of both sides' best quality is as good
UNOBSERVED: Final = 15.0  # times the density: how our kind chooses its weight when it is not told


def main(options: argparse.Namespace) -> None:
    need_their_environment()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = run(making.command(folder, set=options.set, data=options.data, hold_out=HELD_OUT))
        density = made["events"] / (made["users"] * made["items"])
        unobserved = options.unobserved or min(1.0, UNOBSERVED * density)
        settings = {
            "dim": options.dim,
            "threads": options.threads,
            "unobserved": unobserved,
            "regularisation": options.regularisation,
            "sweeps": ",".join(map(str, options.sweeps)),
        }
        rest = [str(folder / "learned.npz")]
        rest += [word for key, value in settings.items() for word in (f"--{key}", str(value))]
        sides = {
            "implicit": [THEIRS, "-m", "benchmarks.beside.ials_implicit", *rest, *["--exact"] * options.exact],
            "ours": [OURS, "-m", "benchmarks.beside.ials_ours", *rest],
        }
        for side, command in sides.items():
            run([*command, "--keep", str(folder / side)])
        kept = [str(folder / f"{side}-{num_sweeps}.npz") for side in sides for num_sweeps in options.sweeps]
        judge = [
            OURS,
            "-m",
            "benchmarks.beside.judge",
            str(folder / "learned.npz"),
            str(folder / "held_out.npz"),
            *kept,
        ]
        quality = run(judge)
        found = in_turns(sides, options.rounds)
    curves = {side: curve(side, runs, quality) for side, runs in found.items()}
    both = min(max(point["ndcg_at_10"] for point in points) for points in curves.values())
    reached = {
        side: next(point for point in points if point["ndcg_at_10"] >= NEAR * both) for side, points in curves.items()
    }
    show(made, curves, reached, found)
    told = {name: value for name, value in vars(options).items() if name != "data"}
    line = {
        "benchmark": "beside_implicit",
        **told,
        "data": options.data and options.data.name,
        "unobserved": unobserved,
    }
    peaks = {side: median(runs, "peak_rss_mib") for side, runs in found.items()}
    print(json.dumps({**line, "reached": reached, "peak_rss_mib": peaks, "load": os.getloadavg()[0], "curves": curves}))


def curve(side: str, runs: list[Figures], quality: Figures) -> list[dict[str, Any]]:
    """For each number of sweeps the median of its seconds, and its quality."""
    return [
        {
            "sweeps": fits[0]["sweeps"],
            "fit_s": round(statistics.median(fit["fit_s"] for fit in fits), 3),
            "cpu_s": round(statistics.median(fit["cpu_s"] for fit in fits), 3),
            **quality[f"{side}-{fits[0]['sweeps']}"],
        }
        for fits in zip(*(each["fits"] for each in runs), strict=True)
    ]


def show(
    made: Figures,
    curves: dict[str, list[dict[str, Any]]],
    reached: dict[str, dict[str, Any]],
    found: dict[str, list[Figures]],
) -> None:
    table = Table(title=f"{made['users']:,} users, {made['items']:,} items, {made['events']:,} pairs")
    for column in ("side", "sweeps", "fit s", "CPU s", "NDCG@10", "Recall@20", "reached", "peak MiB", "before fitting"):
        table.add_column(column, justify="right")
    for side, points in curves.items():
        for point in points:
            table.add_row(
                side,
                str(point["sweeps"]),
                f"{point['fit_s']:.2f}",
                f"{point['cpu_s']:.2f}",
                f"{point['ndcg_at_10']:.4f}",
                f"{point['recall_at_20']:.4f}",
                "<--" if point is reached[side] else "",
                f"{median(found[side], 'peak_rss_mib'):,.0f}",
                f"{median(found[side], 'rss_before_mib'):,.0f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="dense", help="the planted events (default: dense)")
    parser.add_argument("--data", type=Path, help="a folder with events.parquet instead")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--unobserved", type=float, default=0.0, help="0: 15 times the density, as our kind does")
    parser.add_argument("--regularisation", type=float, default=5.0, help="over the weight of what is not there")
    parser.add_argument("--exact", action="store_true", help="theirs without conjugate gradients")
    parser.add_argument(
        "--sweeps", type=lambda text: [int(each) for each in text.split(",")], default=[1, 2, 3, 4, 6, 8, 12]
    )
    main(parser.parse_args())
