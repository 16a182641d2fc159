"""The rows of a published table: several kinds under one protocol, each with several seeds, means and spread.

`python -m benchmarks.evaluate_tables --protocol P1 --data FOLDER --models popularity,ease --seeds 3 [--set ...]`: runs
`nightjar evaluate --json` once for each kind and seed, one after the other, each in a process of its own, so that
memory is that of one run. Prints a table and a JSON line.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

EVALUATE: Final = (sys.executable, "-m", "services.cli.main", "evaluate", "--json")
FIGURES: Final = ("hr_at_10", "ndcg_at_10", "recall_at_20", "ndcg_at_20", "coverage", "fit_seconds", "peak_rss_mib")


def row(kind: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The means over seeds, and between them the standard deviation of NDCG@10, 0 of one."""
    means = {name: statistics.fmean(run[name] for run in runs) for name in FIGURES}
    spread = statistics.stdev([run["ndcg_at_10"] for run in runs]) if len(runs) > 1 else 0.0
    return {"model": kind, "seeds": len(runs), "users": runs[0]["users"], **means, "ndcg_at_10_sd": spread}


def evaluated(arguments: argparse.Namespace, kind: str, seed: int) -> Mapping[str, Any]:
    command = [*EVALUATE, "--protocol", arguments.protocol, "--data", arguments.data, "--model", kind]
    command += ["--seed", str(seed), *(word for change in arguments.set for word in ("--set", change))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocol", choices=["P1", "P2", "P3"], required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--models", default="popularity", help="kinds, with commas between them")
    parser.add_argument("--seeds", type=int, default=3, help="how many, counted from 1")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE")
    arguments = parser.parse_args()
    rows = []
    print(f"{'model':<12}{'HR@10':>8}{'NDCG@10':>9}{'±':>8}{'R@20':>8}{'NDCG@20':>9}{'cover':>8}{'fit s':>9}{'MiB':>7}")
    for kind in arguments.models.split(","):
        of = row(kind, [evaluated(arguments, kind, seed) for seed in range(1, arguments.seeds + 1)])
        rows.append(of)
        print(
            f"{kind:<12}{of['hr_at_10']:>8.4f}{of['ndcg_at_10']:>9.4f}{of['ndcg_at_10_sd']:>8.4f}"
            f"{of['recall_at_20']:>8.4f}{of['ndcg_at_20']:>9.4f}{of['coverage']:>8.3f}{of['fit_seconds']:>9.1f}"
            f"{of['peak_rss_mib']:>7.0f}",
            flush=True,
        )
    print(json.dumps({"protocol": arguments.protocol, "rows": rows}))


if __name__ == "__main__":
    main()
