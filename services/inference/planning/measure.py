"""How a model answers on this machine: what one answer takes of a core, and whether its index finds the best.

One history at a time on one thread, as a worker answers; nothing else of a request is in these figures.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from services.domain.bundles import Manifest
from services.domain.history_input import NUM_GAP_ROWS, HistoryRows
from services.domain.plans import PlanTable
from services.inference.excluded import NOTHING, Excluded, Rows
from services.inference.serving_model import ServingModel

TOP: Final = 10
NUM_HISTORIES: Final = 500  # larger: seconds of measuring; smaller: five answers say what the p99 is
NUM_RANKED: Final = 50  # histories for which all items are ranked; larger and smaller: as above
NUM_EXCLUDED: Final = 20  # items of the history that its user is done with, at most


UNPLANNED: Final = "float32, exact"
"""Of a version without a table of plans, as a kind without an encoder has none."""


def plan_of(manifest: Manifest) -> str:
    """By what plan it is served, in words; see `domain.plans`. Raises BundleBroken for a table that cannot be read."""
    written = manifest.configuration.get("plans")
    return UNPLANNED if written is None else PlanTable.from_document(written).chosen.name


def measured(model: ServingModel, seed: int) -> dict[str, float]:
    """The gate's figures of a model and its plan. Histories are drawn: items by popularity, any length it reads.

    plan_p50_ms, plan_p99_ms: time of the thread on a core for an answer; not the clock's, for what else runs on this
    machine tonight says nothing of a model. plan_core_us: the mean. index_recall_at_10: share of the ten best of all
    items that are among the ten it answers with. plan_num_histories: those it knows.
    """
    histories = [each for each in drawn_histories(model, seed) if model.scorer.knows(each)]
    for history in histories[:TOP]:
        model.scorer.best(history, TOP, _done_with(history))
    taken_s = np.empty(len(histories))
    found: list[Rows] = []
    for number, history in enumerate(histories):
        excluded = _done_with(history)
        start = time.thread_time()
        rows, _ = model.scorer.best(history, TOP, excluded)
        taken_s[number] = time.thread_time() - start
        found.append(rows)
    figures = {"plan_num_histories": float(len(histories)), "index_recall_at_10": 1.0}
    if not histories:  # it knows nobody, and answers everybody with what is popular
        return {**figures, "plan_p50_ms": 0.0, "plan_p99_ms": 0.0, "plan_core_us": 0.0}
    return {
        **figures,
        "plan_p50_ms": 1_000 * float(np.percentile(taken_s, 50)),
        "plan_p99_ms": 1_000 * float(np.percentile(taken_s, 99)),
        "plan_core_us": 1e6 * float(taken_s.mean()),
        "index_recall_at_10": _recall(model, histories, found),
    }


def _recall(model: ServingModel, histories: Sequence[HistoryRows], found: Sequence[Rows]) -> float:
    """Against all items ranked, for some of the histories only: of a million items that takes a while."""
    shares = []
    every = max(1, len(histories) // NUM_RANKED)
    for history, rows in zip(histories[::every], found[::every], strict=True):
        ranked, _ = model.scorer.best(history, model.index.num_items, _done_with(history))
        exact = ranked[:TOP]
        if len(exact):
            shares.append(len(np.intersect1d(exact, rows)) / len(exact))
    return float(np.mean(shares)) if shares else 1.0


def _done_with(history: HistoryRows) -> Excluded:
    return Excluded(np.unique(history.items)[:NUM_EXCLUDED])


def drawn_histories(model: ServingModel, seed: int) -> Iterator[HistoryRows]:
    """The same ones for a seed; none for a model that knows no event type."""
    random, num_types = np.random.default_rng(seed), len(model.vocabulary.event_type_labels)
    if not num_types:
        return
    popular, _ = model.index.popular(model.index.num_items, NOTHING)
    for _ in range(NUM_HISTORIES):
        length = int(random.integers(1, model.manifest.max_history + 1))
        # Places on a ranking by popularity, the first ones far more often: as people choose.
        places = (len(popular) * random.random(length) ** 3).astype(np.int64)
        yield HistoryRows(
            popular[places],
            random.integers(1, num_types + 1, length),
            random.integers(0, NUM_GAP_ROWS, length),
        )
