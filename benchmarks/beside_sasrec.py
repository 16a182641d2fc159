"""Our sequence encoder beside RecTools' SASRec: examples/s and peak memory, in turns, of equal size on the same events.

`python -m benchmarks.beside_sasrec [--set dense|sparse] [--data FOLDER]`, or `make bench-beside`, which makes
.venv-beside first. Both see each user's newest --max-history events, one window a user, with the same width, blocks,
heads, dropout and softmax over the whole catalogue (--negatives: over so many drawn ones). A step has the same number
of events on average: theirs a batch of --batch-users users, ours as many places. An example is a real target, never
padding; the first epoch warms up. Prints each run on stderr, then a table of medians and a JSON line.

Where they differ: theirs pads every window on the left to --max-history and scores every place; ours pads to the
longest of windows of like length and scores what is asked. Theirs has a plain feed-forward layer of the model's width,
ours a gated one of 8/3 of it, event types and time gaps, so it has more parameters. Theirs computes in float32 unless
told otherwise, ours in bfloat16 where the processor has it ("auto"): both are shown in both. Drawn negatives are a set
for each target in theirs, one for each step in ours. Neither validates.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.beside import making
from benchmarks.beside.making import SETS
from benchmarks.beside.running import OURS, THEIRS, Figures, in_turns, median, need_their_environment, run

MAX_HISTORY: Final = {"dense": 200, "sparse": 50}
FIRST_THEIRS: Final = "RecTools float32"


def main(options: argparse.Namespace) -> None:
    need_their_environment()
    max_history = options.max_history or MAX_HISTORY[options.set]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = {"set": options.set, "data": options.data, "users": options.users, "newest": max_history}
        made = run(making.command(folder, **data))
        found = in_turns(sides(folder / "learned.npz", options, max_history), options.rounds)
    show(made, found)
    told = {name: value for name, value in vars(options).items() if name != "data"}
    figures = {name: {key: median(runs, key) for key in SHOWN} for name, runs in found.items()}
    line = {"benchmark": "beside_sasrec", **told, "data": options.data and options.data.name, "figures": figures}
    print(json.dumps({**line, "max_history": max_history, "load": os.getloadavg()[0], "runs": found}))


SHOWN: Final = ("examples_per_s", "examples_per_cpu_s", "peak_rss_mib", "rss_before_mib", "fit_s", "parameters")


def sides(path: Path, options: argparse.Namespace, max_history: int) -> dict[str, Sequence[str]]:
    steps = [str(path), "--epochs", str(options.epochs), "--batch-users", str(options.batch_users)]
    size = {
        "dim": options.dim,
        "num-blocks": options.blocks,
        "num-heads": options.heads,
        "max-history": max_history,
        "num-negatives": options.negatives,
    }
    theirs = [THEIRS, "-m", "benchmarks.beside.sasrec_rectools", *steps]
    theirs += [word for name, value in size.items() for word in (f"--{name}", str(value))]
    ours = [OURS, "-m", "benchmarks.beside.sasrec_ours", *steps, "dropout=0.2", "input_dropout=0.2"]
    ours += [f"{name.replace('-', '_')}={value}" for name, value in size.items()]
    every = {
        FIRST_THEIRS: theirs,
        "ours float32": [*ours, "precision=float32"],
        "ours auto": [*ours, "precision=auto"],
        "RecTools bfloat16": [*theirs, "--precision", "bf16-mixed"],
    }
    return {name: command for name, command in every.items() if options.only in name}


def show(made: Figures, found: dict[str, list[Figures]]) -> None:
    table = Table(title=f"{made['users']:,} users, {made['items']:,} items, {made['events']:,} events")
    table.add_column("side", no_wrap=True)
    for column in (
        "examples/s",
        "times theirs",
        "/CPU s",
        "times theirs",
        "peak MiB",
        "theirs over it",
        "before fitting",
        "fit s",
        "size",
    ):
        table.add_column(column, justify="right")
    base = found.get(FIRST_THEIRS)
    for name, runs in found.items():
        speed, of_cpu, peak = (median(runs, key) for key in ("examples_per_s", "examples_per_cpu_s", "peak_rss_mib"))
        table.add_row(
            name,
            f"{speed:,.0f}",
            f"{speed / median(base, 'examples_per_s'):.2f}" if base else "",
            f"{of_cpu:,.0f}",
            f"{of_cpu / median(base, 'examples_per_cpu_s'):.2f}" if base else "",
            f"{peak:,.0f}",
            f"{median(base, 'peak_rss_mib') / peak:.2f}" if base else "",
            f"{median(runs, 'rss_before_mib'):,.0f}",
            f"{median(runs, 'fit_s'):.1f}",
            f"{median(runs, 'parameters'):,.0f}",
        )
    Console(width=132).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="dense", help="the planted events (default: dense)")
    parser.add_argument("--data", type=Path, help="a folder with events.parquet instead")
    parser.add_argument("--users", type=int, default=0, help="only so many of the users; 0: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3, help="the first warms up")
    parser.add_argument("--batch-users", type=int, default=128, help="users a step; 128 is RecTools' default")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--heads", type=int, default=2)
    parser.add_argument("--max-history", type=int, default=0, help="0: 200 for the dense set, 50 for the sparse one")
    parser.add_argument("--negatives", type=int, default=0, help="items drawn for the softmax; 0: the whole catalogue")
    parser.add_argument("--only", default="", help="only sides whose name contains this")
    main(parser.parse_args())
