"""Makes every plan of a fitted model in its draft, measures each on the holdout, and leaves the chosen one there.

A plan that cannot be made, loaded or asked is a row with its reason; the night goes on without it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import structlog

from services.domain.bundles import ENCODER
from services.domain.errors import BundleBroken, NightjarError, NotEnoughData, TrainingFailed
from services.domain.plans import PLAIN, REFERENCE, Plan, PlanFigures, PlanRow, PlanTable, Precision, cheapest
from services.features.history import Rows
from services.training.data.dataset import Dataset
from services.training.evaluation.comparison import gain
from services.training.evaluation.holdout import TOP
from services.training.evaluation.ranking import NOTHING, Ranked, Score, rank_targets
from services.training.kinds.popularity import most_telling
from services.training.model import Floats, History, TrainableModel
from services.training.plans.few_bits import in_few_bits
from services.training.plans.timing import Cost, Encode, timed
from services.training.served import Served

MAX_QUESTIONS: Final = 10_000  # larger: minutes of measuring; smaller: a wider interval, so cheap plans are refused
NUM_TIMED: Final = 300  # histories. Larger: seconds; smaller: three answers say what the p99 is
MAX_REASON: Final = 500  # characters. Larger: the registry keeps a stack of a runtime's words; smaller: it is cut off

log = structlog.get_logger(__name__)

Wanted: TypeAlias = Literal["auto", "float32", "int8", "int4"]


Make: TypeAlias = Callable[[bytes], bytes]
MAKERS: Final[Mapping[Plan, Make]] = {
    PLAIN: lambda graph: graph,
    Plan(Precision.INT8): lambda graph: in_few_bits(graph, 8),
    Plan(Precision.INT4): lambda graph: in_few_bits(graph, 4),
}


@dataclass(frozen=True)
class Contestant:
    """A plan that can be asked. Both are of histories that are not empty."""

    plan: Plan
    score: Score
    """(len(histories), num_items)."""
    encode: Encode
    item_vectors: Floats
    """(num_items, dim)."""
    graph: bytes
    """Of those that are served."""


@dataclass(frozen=True)
class AsServed:
    """A draft as the holdout asks it; fulfils `holdout.Answering`."""

    served: Served

    def score(self, histories: Sequence[History], /) -> Floats:
        return self.served.score(histories)

    def item_vectors(self) -> Floats:
        return self.served.item_vectors


def planned(
    folder: Path,
    model: TrainableModel,
    dataset: Dataset,
    max_history: int,
    *,
    wanted: Wanted,
    max_loss: float,
    seed: int,
    makers: Mapping[Plan, Make] = MAKERS,
) -> PlanTable | None:
    """folder: a draft that was proved to score as the model does; its encoder becomes the chosen plan's.

    wanted: the precision, unless it is to be chosen. Returns None for a kind without an encoder.
    makers: of the graph that serves each plan, from the plain one.
    """
    graph = model.encoder_onnx()
    if graph is None:
        return None
    served, failed = _served(folder, model, dataset, graph, makers)
    reference = Contestant(REFERENCE, model.score, model.encode_users, model.item_vectors(), b"")
    rows = [*_measured([reference, *served], dataset, max_history, seed), *failed]
    chosen = cheapest(rows, max_loss) if wanted == "auto" else Plan(Precision(wanted))
    answering = {row.plan for row in rows if row.figures is not None}
    found = next((each.graph for each in served if each.plan == chosen and chosen in answering), None)
    if found is None:
        raise TrainingFailed(f"The plan {chosen.name!r} cannot be served: {_why_not(rows, chosen)}")
    (folder / ENCODER).write_bytes(found)
    log.info("plan_chosen", plan=chosen.name, num_plans=len(rows))
    return PlanTable(rows, chosen, max_loss)


def _why_not(rows: Sequence[PlanRow], plan: Plan) -> str:
    return next((row.reason for row in rows if row.plan == plan), "it is none of those that were made")


def _served(
    folder: Path, model: TrainableModel, dataset: Dataset, graph: bytes, makers: Mapping[Plan, Make]
) -> tuple[list[Contestant], list[PlanRow]]:
    """The plans that can be loaded, and rows of those that cannot."""
    found: list[Contestant] = []
    failed: list[PlanRow] = []
    for plan, make in makers.items():
        try:
            made = _made(make, graph)
            (folder / ENCODER).write_bytes(made)
            served = Served(folder, model.kind, model.dim, dataset.vocabulary, num_threads=1)
        except BundleBroken as error:
            failed.append(_failed(plan, error))
        else:
            found.append(Contestant(plan, served.score, served.encode, served.item_vectors, made))
    return found, failed


def _made(make: Make, graph: bytes) -> bytes:
    try:
        return make(graph)
    except Exception as error:  # a converter's errors have no root of their own
        raise BundleBroken(f"its graph cannot be made: {type(error).__name__}: {error}") from error


def _failed(plan: Plan, error: NightjarError) -> PlanRow:
    log.warning("plan_failed", plan=plan.name, why=str(error)[:MAX_REASON])
    return PlanRow(plan, None, str(error)[:MAX_REASON])


def _measured(contestants: Sequence[Contestant], dataset: Dataset, max_history: int, seed: int) -> list[PlanRow]:
    """A row each, the reference's first; raises what asking the reference does."""
    moments, popularity = dataset.holdout.thinned(MAX_QUESTIONS), most_telling(dataset)
    ranked: list[tuple[Contestant, Ranked]] = []
    failed: list[PlanRow] = []
    for each in contestants:
        try:
            found = rank_targets(each.score, moments, dataset.histories, popularity, max_history)
        except (BundleBroken, TrainingFailed) as error:
            if not each.plan.is_served:
                raise
            failed.append(_failed(each.plan, error))
        else:
            ranked.append((each, found))
    reference = ranked[0][1]
    if not len(reference):
        raise NotEnoughData("Every held-out event repeats an item its user was done with; there is nothing to predict.")
    asked, _ = moments.questions
    drawn = np.random.default_rng(seed).permutation(asked.shape[1])
    inputs = (dataset.histories.as_of(int(user), int(time_us), max_history) for user, time_us in asked.T[drawn])
    histories = list(islice((history for history in inputs if len(history.items)), NUM_TIMED))
    costs = timed([each.encode for each, _ in ranked], histories, contestants[0].item_vectors)
    rows = [
        PlanRow(each.plan, _figures(each, found, reference, cost, seed))
        for (each, found), cost in zip(ranked, costs, strict=True)
    ]
    return [*rows, *failed]


def _figures(each: Contestant, found: Ranked, reference: Ranked, cost: Cost, seed: int) -> PlanFigures:
    own, other = found.by_moment, reference.by_moment
    change = gain(own.ndcg(TOP), other.ndcg(TOP), own.user_rows, seed=seed)
    return PlanFigures(
        ndcg_at_10=float(own.ndcg(TOP).mean()),
        ndcg_change=change.mean,
        ndcg_change_low=change.interval.low,
        ndcg_change_high=change.interval.high,
        overlap_at_20=overlap(found.lists, reference.lists),
        encode_core_us=cost.encode_core_us,
        answer_core_us=cost.answer_core_us,
        answer_p50_ms=cost.answer_p50_ms,
        answer_p99_ms=cost.answer_p99_ms,
        encoder_bytes=len(each.graph),
    )


def overlap(lists: Rows, reference: Rows) -> float:
    """The share of the reference's items that are in the list beside it; both (num_questions, length)."""
    is_item = reference != NOTHING
    shared = (reference[:, :, np.newaxis] == lists[:, np.newaxis, :]).any(axis=2) & is_item
    return float(shared.sum() / max(1, is_item.sum()))
