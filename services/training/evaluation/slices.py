"""Figures by slice: of whom little is known, what few choose, what kind of event it was. A mean hides who pays for it.

Each target is judged by itself here, so that it can belong to a slice; all targets together are the slice "all".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.training.data.dataset import Dataset
from services.training.evaluation.intervals import bootstrap_mean
from services.training.evaluation.metrics import Flags, Judged
from services.training.evaluation.ranking import Ranked

MANY_EVENTS: Final = 10  # larger: nearly all are cold; smaller: only those of whom a model could say nothing anyhow
HEAD_SHARE: Final = 0.8  # of the interactions, that the head has
NUM_RESAMPLES: Final = 500  # of a slice's interval, there are many; larger: slower; smaller: its ends wobble


@dataclass(frozen=True, slots=True)
class Slice:
    name: str
    num_users: int
    num_targets: int
    hr_at_10: float
    ndcg_at_10: float
    ndcg_at_10_ci: tuple[float, float]
    """95%, resampling users."""


def slices(ranked: Ranked, dataset: Dataset, seed: int) -> list[Slice]:
    """Those that have a target; of event types only if there are several."""
    judged = ranked.by_moment
    return [_figures(name, judged, of, seed) for name, of in _names(ranked, dataset) if of.any()]


def head_items(dataset: Dataset) -> Flags:
    """(num_items,) whether an item is of the fewest that have HEAD_SHARE of the interactions among them."""
    counts = np.bincount(dataset.counted.items, minlength=dataset.num_items + 1)[1:]
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]  # what those that are more popular have
    head = np.zeros(dataset.num_items, np.bool_)
    head[order] = before < HEAD_SHARE * counts.sum()
    return head


def cold_users(ranked: Ranked, dataset: Dataset) -> Flags:
    """(num_moments,) whether fewer than MANY_EVENTS events of its user are known at the moment."""
    questions = zip(ranked.question_users.tolist(), ranked.question_times_us.tolist(), strict=True)
    known = [len(dataset.histories.as_of(user, time_us, MANY_EVENTS).items) for user, time_us in questions]
    cold: Flags = np.array(known, np.int64)[ranked.questions] < MANY_EVENTS
    return cold


def tail_items(ranked: Ranked, dataset: Dataset) -> Flags:
    """(num_moments,) whether the target is of the many items that share the last fifth of the interactions."""
    in_head = np.concatenate(([False], head_items(dataset)))[ranked.targets]
    tail: Flags = ~in_head & (ranked.targets > 0)
    return tail


def _names(ranked: Ranked, dataset: Dataset) -> Iterator[tuple[str, Flags]]:
    """Each slice with the moments, (num_moments,), that belong to it."""
    yield "all", np.ones(len(ranked), np.bool_)
    cold, tail = cold_users(ranked, dataset), tail_items(ranked, dataset)
    yield f"users with {MANY_EVENTS} events or more", ~cold
    yield f"users with fewer than {MANY_EVENTS} events", cold
    yield "head items", ~tail & (ranked.targets > 0)
    yield "tail items", tail
    yield "items never seen", ranked.targets == 0
    labels = dataset.vocabulary.event_type_labels
    rows = np.unique(ranked.event_types).tolist()
    for row in rows if len(rows) > 1 else ():
        yield f"event {labels[row - 1]}", ranked.event_types == row


def _figures(name: str, judged: Judged, of: Flags, seed: int) -> Slice:
    ndcg, users = judged.ndcg(10)[of], judged.user_rows[of]
    interval = bootstrap_mean(ndcg, users, num_resamples=NUM_RESAMPLES, seed=seed)
    return Slice(
        name=name,
        num_users=len(np.unique(users)),
        num_targets=int(of.sum()),
        hr_at_10=float(judged.hits(10)[of].mean()),
        ndcg_at_10=float(ndcg.mean()),
        ndcg_at_10_ci=(interval.low, interval.high),
    )
