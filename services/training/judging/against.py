"""A challenger's answers beside the champion's to the same questions, as flat figures."""

import numpy as np

from services.training.data.dataset import Dataset
from services.training.evaluation.comparison import gain
from services.training.evaluation.holdout import TOP, told
from services.training.evaluation.metrics import Flags, Ints
from services.training.evaluation.ranking import NOTHING, Ranked
from services.training.evaluation.slices import cold_users, tail_items


def against_champion(challenger: Ranked, champion: Ranked, dataset: Dataset, seed: int) -> dict[str, float]:
    """How much better the challenger is, with 95% intervals, and how far its lists differ.

    Paired, drawing users. A slice of which nothing was asked has no figures but its number of users, 0.
    """
    ours, theirs = challenger.by_moment.ndcg(TOP), champion.by_moment.ndcg(TOP)
    users = challenger.by_moment.user_rows
    cold, tail = cold_users(challenger, dataset), tail_items(challenger, dataset)
    figures = {
        "changed_share_at_10": changed_share(challenger.lists[:, :TOP], champion.lists[:, :TOP]),
        "num_cold_users": float(len(np.unique(users[cold]))),
        "num_tail_item_users": float(len(np.unique(users[tail]))),
    }
    for name, part in {"ndcg": np.ones(len(ours), np.bool_), "cold_users": cold, "tail_items": tail}.items():
        if part.any():
            better = gain(ours[part], theirs[part], users[part], seed=seed)
            figures |= told(f"{name}_vs_champion_at_10", better)
            prefix = "" if name == "ndcg" else f"{name}_"
            figures[f"champion_{prefix}ndcg_at_10"] = float(theirs[part].mean())
    return figures


def changed_share(lists: Ints, before: Ints) -> float:
    """The mean share of what a list shows that the list before it lacks; empty lists do not count.

    lists, before: (num_lists, k) item indices or NOTHING, line by line of the same question. 0: nothing changed.
    """
    shown: Flags = lists != NOTHING
    new = shown & ~(lists[:, :, np.newaxis] == before[:, np.newaxis, :]).any(axis=2)
    num_shown = shown.sum(axis=1)
    some = num_shown > 0
    return float((new.sum(axis=1)[some] / num_shown[some]).mean()) if some.any() else 0.0
