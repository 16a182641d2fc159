"""How good a frozen model is on later events: the protocol behind the gate's figures.

Parameters stand still; histories move, as in serving. Each positive event of a part is predicted from the user's
history strictly before it, with every item of the vocabulary ranked:
- items the user has consumed before are masked, as serving masks them; if the target itself is one of them, the event
  cannot be hit by design, and it is skipped and counted;
- a target that the vocabulary lacks counts as a miss;
- a user of whom the model knows nothing at that moment gets the popular items, as in serving;
- equal scores rank by item row, so that a figure can be repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from services.domain.errors import TrainingFailed
from services.features.history import Histories, Rows
from services.training.dataset import Moments
from services.training.metrics import MISS
from services.training.model import Floats, History

Score = Callable[[Sequence[History]], Floats]

BATCH = 256  # larger: more memory (batch x items floats, several times); smaller: slower
TOP = 10


@dataclass(frozen=True)
class Ranks:
    """Where the model put each target; moments that were skipped are not in it. All int64."""

    user_rows: Rows
    """(num_moments,)."""
    ranks: Rows
    """(num_moments,), counted from 0; metrics.MISS for a target that the vocabulary lacks."""
    shown: Rows
    """Indices of the items in the first TOP of every distinct (user, moment), one list after another."""
    num_skipped: int


def rank_targets(score: Score, moments: Moments, histories: Histories, popularity: Floats, max_history: int) -> Ranks:
    """Ranks every moment's target among all items; scores each distinct (user, moment) once, in batches.

    popularity: (num_items,), what a user without history gets. Raises TrainingFailed for a score that is no number.
    """
    keys = np.stack((moments.user_rows, moments.times_us))
    asked, question_of = np.unique(keys, axis=1, return_inverse=True)  # asked: (2, num_questions)
    question_of = question_of.ravel()
    inputs = [histories.as_of(int(user), int(time_us), max_history) for user, time_us in asked.T]
    moments_of = np.split(np.argsort(question_of, kind="stable"), np.cumsum(np.bincount(question_of))[:-1])
    ranks, skipped = np.full(len(moments), MISS, np.int64), np.zeros(len(moments), np.bool_)
    shown = []
    # Histories of like length share a batch, so that little is padded.
    order = np.argsort([len(items) for items, _ in inputs], kind="stable")
    for questions in (order[first : first + BATCH] for first in range(0, len(order), BATCH)):
        scores = _scores(score, [inputs[question] for question in questions], popularity)  # (batch, num_items)
        for line, question in zip(scores, questions, strict=True):
            line[histories.consumed_as_of(*map(int, asked[:, question])) - 1] = -np.inf
            shown.append(_top(line))
            for moment in moments_of[question]:
                target = int(moments.targets[moment]) - 1
                if target >= 0:
                    skipped[moment] = line[target] == -np.inf
                    ranks[moment] = _rank(line, target)
    return Ranks(moments.user_rows[~skipped], ranks[~skipped], np.concatenate(shown), int(skipped.sum()))


def _scores(score: Score, histories: Sequence[History], popularity: Floats) -> Floats:
    scores = np.tile(popularity, (len(histories), 1))
    known = [row for row, (items, _) in enumerate(histories) if len(items)]
    if known:
        scores[known] = score([histories[row] for row in known])
    if not np.isfinite(scores).all():
        raise TrainingFailed("The model scores items with values that are no numbers; lower the learning rate.")
    return scores


def _top(line: Floats) -> Rows:
    best = np.argpartition(-line, min(TOP, len(line)) - 1)[:TOP]
    return best[line[best] > -np.inf]


def _rank(line: Floats, target: int) -> int:
    better = np.count_nonzero(line > line[target])
    return int(better + np.count_nonzero(line[:target] == line[target]))
