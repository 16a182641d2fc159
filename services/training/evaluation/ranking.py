"""What a frozen model shows, and where it puts what was chosen: the one evaluator behind gate, tables and reports.

Parameters stand still; histories move, as in serving. A question is a user at a moment: the model sees the history
strictly before it, and every item of the vocabulary is ranked:
- items the user is done with before are masked, as serving masks them; if a target itself is one of them, it cannot be
  hit by design, and it is skipped and counted;
- a target that the vocabulary lacks is in no list;
- a user of whom the model knows nothing at that moment gets the popular items, as in serving;
- equal scores rank by item row, so that a figure can be repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import numpy as np
import torch

from services.domain.errors import TrainingFailed
from services.domain.history_input import HistoryRows
from services.features.history import Rows
from services.training.data.dataset import Moments
from services.training.evaluation.metrics import MISS, Judged
from services.training.model import Floats, History

Score = Callable[[Sequence[History]], Floats]


class Histories(Protocol):
    """What is read of the past; `features.history.Histories` is one."""

    def as_of(self, user_row: int, time_us: int, max_history: int) -> HistoryRows:
        """The model's input just before a moment, in rows of its own vocabulary."""
        ...

    def consumed_as_of(self, user_row: int, time_us: int) -> Rows:
        """The rows of the items that the user was done with just before a moment, in those of the targets."""
        ...


LIST_LENGTH: Final = 20  # larger: slower; smaller: no metric at 20
BATCH_CELLS: Final = 8_000_000  # scores at a time. Larger: more memory (4 bytes each, a few times); smaller: slower
NOTHING: Final = -1
"""In a list that has fewer items than its length: the place of none."""


class Repeats(Enum):
    """What becomes of a target that its user was done with before."""

    SKIPPED = "skipped"
    """It cannot be hit by design and is not asked for."""
    MISSED = "missed"
    """It is asked for, and cannot be hit."""
    SHOWN = "shown"
    """Nothing is masked: such items may be shown, and hit."""


@dataclass(frozen=True)
class Ranked:
    """What was shown to each distinct (user, moment), and where each target stood. All int64.

    Questions are in order of (user row, time); moments that were skipped are not in it.
    """

    lists: Rows
    """(num_questions, LIST_LENGTH) item indices, best first; NOTHING where a list is shorter."""
    question_users: Rows
    """(num_questions,)."""
    question_times_us: Rows
    """(num_questions,)."""
    questions: Rows
    """(num_moments,) which list a moment is answered by."""
    ranks: Rows
    """(num_moments,) counted from 0; metrics.MISS for a target outside of its list."""
    targets: Rows
    """(num_moments,) item rows; 0 for an item that the vocabulary lacks."""
    event_types: Rows
    """(num_moments,) event-type rows of what was chosen."""
    num_skipped: int

    @property
    def by_moment(self) -> Judged:
        """Each moment judged by itself, in order: one relevant item each."""
        return Judged.one_target_each(self.ranks, self.question_users[self.questions], self.lists.shape[1])

    @property
    def by_question(self) -> Judged:
        """Each list judged by all that was chosen of it; lists of which nothing was asked are left out."""
        relevant = np.zeros(self.lists.shape, np.bool_)
        found = self.ranks != MISS
        relevant[self.questions[found], self.ranks[found]] = True
        num_relevant = np.bincount(self.questions, minlength=len(self.lists))
        asked = num_relevant > 0
        return Judged(relevant[asked], num_relevant[asked], self.question_users[asked])

    def __len__(self) -> int:
        return len(self.ranks)


_NONE: Final = np.empty(0, np.int64)


def rank_targets(
    score: Score,
    moments: Moments,
    histories: Histories,
    popularity: Floats,
    max_history: int,
    *,
    repeats: Repeats = Repeats.SKIPPED,
    unknown: Rows = _NONE,
) -> Ranked:
    """Ranks every moment's target among all items; scores each distinct (user, moment) once, in batches.

    popularity: (num_items,), what a user without history gets. unknown: the rows of items that the model has none of:
    whatever they score, they are in no list.
    Raises TrainingFailed for a score that is no number.
    """
    asked, question_of = moments.questions  # asked: (2, num_questions)
    inputs = [histories.as_of(int(user), int(time_us), max_history) for user, time_us in asked.T]
    done = [
        _NONE if repeats is Repeats.SHOWN else histories.consumed_as_of(int(user), int(time_us))
        for user, time_us in asked.T
    ]
    lists = np.full((len(inputs), LIST_LENGTH), NOTHING, np.int64)
    # Histories of like length share a batch, so that little is padded.
    order = np.argsort([len(history.items) for history in inputs], kind="stable")
    batch = max(1, BATCH_CELLS // len(popularity))
    for questions in (order[first : first + batch] for first in range(0, len(order), batch)):
        scores = _scores(score, [inputs[question] for question in questions], popularity)  # (batch, num_items)
        scores[:, unknown - 1] = -np.inf
        for line, question in enumerate(questions):
            scores[line, done[question] - 1] = -np.inf
        lists[questions] = top_lists(scores, LIST_LENGTH)
    pairs = zip(moments.targets, question_of, strict=True)
    skips = repeats is Repeats.SKIPPED
    skipped = np.array([skips and target > 0 and target in done[question] for target, question in pairs], np.bool_)
    kept = moments.chosen(~skipped)
    return Ranked(
        lists=lists,
        question_users=asked[0],
        question_times_us=asked[1],
        questions=question_of[~skipped],
        ranks=_ranks(lists[question_of[~skipped]], kept.targets),
        targets=kept.targets,
        event_types=kept.event_types,
        num_skipped=int(skipped.sum()),
    )


def _ranks(lists: Rows, targets: Rows) -> Rows:
    """Where each target (num_moments,) stands in its list (num_moments, LIST_LENGTH)."""
    found = (lists == targets[:, np.newaxis] - 1) & (targets > 0)[:, np.newaxis]
    return np.where(found.any(axis=1), found.argmax(axis=1), MISS).astype(np.int64)


def _scores(score: Score, histories: Sequence[History], popularity: Floats) -> Floats:
    scores = np.tile(popularity, (len(histories), 1))
    known = [row for row, history in enumerate(histories) if len(history.items)]
    if known:
        scores[known] = score([histories[row] for row in known])
    if not np.isfinite(scores).all():
        raise TrainingFailed("The model scores items with values that are no numbers; lower the learning rate.")
    return scores


def top_lists(scores: Floats, length: int) -> Rows:
    """The indices of the best items of each line, best first, equal scores by index; int64 (num_lines, length).

    scores: (num_lines, num_items), -inf for what may not be shown. NOTHING fills a line with fewer items.
    """
    num_best = min(length, scores.shape[1])
    values, best = (part.numpy() for part in torch.topk(torch.from_numpy(scores), num_best, dim=1))
    by_index = np.argsort(best, axis=1)
    best, values = np.take_along_axis(best, by_index, 1), np.take_along_axis(values, by_index, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    lists = np.full((len(scores), length), NOTHING, np.int64)
    lists[:, :num_best] = np.take_along_axis(best, order, 1)
    # Which of several items with the last score is among the best is not defined by topk: there the first ones count.
    last = values.min(axis=1, keepdims=True)
    for line in np.flatnonzero((scores >= last).sum(axis=1) > num_best):
        candidates = np.flatnonzero(scores[line] >= last[line])
        lists[line, :num_best] = candidates[np.argsort(-scores[line, candidates], kind="stable")[:num_best]]
    hidden = np.take_along_axis(scores, np.maximum(lists, 0), 1) == -np.inf
    lists[hidden] = NOTHING
    return lists
