"""`implicit`'s ALS on shared events; a child of `benchmarks.beside_implicit`, in the environment of beside.lock."""

import argparse
import json
import resource
import time
from pathlib import Path

import implicit  # type: ignore[import-not-found]
import numpy as np
from implicit.cpu.als import AlternatingLeastSquares  # type: ignore[import-not-found]
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-not-found]

from benchmarks.beside.events import Events


def main(options: argparse.Namespace) -> None:
    before_mib, events = _peak_rss_mib(), Events.load(options.events)
    # What is there weighs `1 + 1 / unobserved`, what is not weighs 1.
    weights = np.full(len(events), 1 + 1 / options.unobserved, np.float32)
    cells = csr_matrix((weights, (events.users, events.items)), shape=(events.num_users, events.num_items))
    fits = []
    for num_sweeps in options.sweeps:
        model = AlternatingLeastSquares(
            factors=options.dim,
            regularization=options.regularisation,
            iterations=num_sweeps,
            num_threads=options.threads,
            use_cg=not options.exact,
            random_state=0,
        )
        started, cpu_started = time.monotonic(), time.process_time()
        model.fit(cells, show_progress=False)
        fit_s, cpu_s = time.monotonic() - started, time.process_time() - cpu_started
        fits.append({"sweeps": num_sweeps, "fit_s": round(fit_s, 3), "cpu_s": round(cpu_s, 3)})
        if options.keep:
            # As ours do, users follow from the last item vectors.
            users = model.recalculate_user(np.arange(events.num_users), cells)
            np.savez(f"{options.keep}-{num_sweeps}.npz", users=users, items=model.item_factors)
    print(json.dumps({"fits": fits, "rss_before_mib": round(before_mib), "implicit": implicit.__version__}))


def _peak_rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=Path)
    parser.add_argument("--keep", help="write the vectors to files of this name")
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--unobserved", type=float, required=True)
    parser.add_argument("--regularisation", type=float, required=True)
    parser.add_argument("--sweeps", type=lambda text: [int(each) for each in text.split(",")], required=True)
    parser.add_argument("--exact", action="store_true", help="no conjugate gradients")
    with threadpool_limits(1, "blas"):  # as they ask for: their own threads would fight with those of BLAS
        main(parser.parse_args())
