"""What a replay comes to: the nightly models' figures, and what they gain over a frozen one and over popularity."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from services.features.history import Rows
from services.training.evaluation.comparison import Gain, gain
from services.training.evaluation.metrics import Doubles, Judged
from services.training.evaluation.protocol_figures import peak_rss_mib
from services.training.evaluation.replay import Answered

Metric = Callable[[Judged], Doubles]


def replay_figures(days: Sequence[Answered], seed: int) -> dict[str, Any]:
    """By the names of `protocol_figures.Figures`; a gain is NDCG@10 minus the other's, its interval 95%."""

    def each(of: Callable[[Answered], Judged], metric: Metric) -> Doubles:
        return np.concatenate([metric(of(day)) for day in days])  # (num_questions,)

    def mean(metric: Metric) -> float:
        return float(each(_nightly, metric).mean())

    users = np.concatenate([day.nightly.user_rows for day in days])
    nightly, frozen, popular = (each(of, _ndcg) for of in (_nightly, _frozen, _popular))
    over_frozen, over_popularity = gain(nightly, frozen, users, seed=seed), gain(nightly, popular, users, seed=seed)
    return {
        "users": len(np.unique(users)),
        "questions": len(users),
        "hr_at_10": mean(lambda judged: judged.hits(10)),
        "ndcg_at_10": float(nightly.mean()),
        "recall_at_20": mean(lambda judged: judged.recall(20)),
        "ndcg_at_20": mean(lambda judged: judged.ndcg(20)),
        "mrr_at_10": mean(lambda judged: judged.reciprocal_rank(10)),
        "map_at_10": mean(lambda judged: judged.average_precision(10)),
        "coverage": len(frozenset().union(*(day.shown for day in days))) / days[-1].num_items,
        "fit_seconds": sum(day.fit_seconds for day in days),
        "peak_rss_mib": peak_rss_mib(),
        "frozen_ndcg_at_10": float(frozen.mean()),
        "popularity_ndcg_at_10": float(popular.mean()),
        **_named("gain", over_frozen),
        **_named("popularity_gain", over_popularity),
        **_beside_full(days, nightly, users, seed),
        "days": [day_figures(day) for day in days],
    }


def _beside_full(days: Sequence[Answered], nightly: Doubles, users: Rows, seed: int) -> Mapping[str, Any]:
    """What models that started from nothing gain over the nightly ones, and take; nothing where there are none."""
    judged = [day.full for day in days if day.full is not None]
    if len(judged) < len(days):
        return {}
    full = np.concatenate([_ndcg(each) for each in judged])
    return {
        "full_ndcg_at_10": float(full.mean()),
        "full_fit_seconds": sum(day.full_fit_seconds for day in days),
        **_named("full_gain", gain(full, nightly, users, seed=seed)),
    }


def day_figures(day: Answered) -> Mapping[str, Any]:
    return {
        "date": day.date,
        "users": len(day.nightly.user_rows),
        "ndcg_at_10": float(_ndcg(day.nightly).mean()),
        "frozen_ndcg_at_10": float(_ndcg(day.frozen).mean()),
        "popularity_ndcg_at_10": float(_ndcg(day.popular).mean()),
        "fit_seconds": day.fit_seconds,
    }


def _named(name: str, found: Gain) -> Mapping[str, Any]:
    return {name: found.mean, f"{name}_ci": [found.interval.low, found.interval.high]}


def _ndcg(judged: Judged) -> Doubles:
    return judged.ndcg(10)


def _nightly(day: Answered) -> Judged:
    return day.nightly


def _frozen(day: Answered) -> Judged:
    return day.frozen


def _popular(day: Answered) -> Judged:
    return day.popular
