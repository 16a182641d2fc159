"""A list with wishes, worked out: pool, boosts, similar items, then place by place by relevance, diversity and quotas.

The list of a question is one list, however much of it is asked for: a page is a part of it. So the pool is as deep for
the first place as for the last one, and what comes first never depends on what comes later.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from services.domain.ids import ModelVersion
from services.domain.pages import MAX_DEPTH
from services.domain.recommendations import Source
from services.inference import rules
from services.inference.candidates import ORIGINS, Candidates, Origins, Pool, like_these, pool_of, with_similar
from services.inference.diversity import ByRelevance, Cosine, MarginalRelevance, Picker, SharedCategories
from services.inference.excluded import NO_ROWS, Rows, Vector
from services.inference.question import Question
from services.inference.sealed import opened, seal
from services.inference.stages import Stage, ended

DEEPER: Final = 8  # times, where quotas use a pool up. Larger: too deep at once; smaller: more goes
FORMAT: Final = 3
_ITEM_BYTES: Final = 9


@dataclass(frozen=True, slots=True)
class Listing:
    """A part of a list; where each item comes from, and whether there is more."""

    rows: Rows
    scores: Vector
    origins: Origins
    has_more: bool

    @classmethod
    def empty(cls) -> Self:
        return cls(NO_ROWS, np.empty(0, np.float32), np.empty(0, np.uint8), has_more=False)

    def encoded(self, version: ModelVersion, history_version: str) -> bytes:
        """As it is cached, see `sealed`; the body: has_more, rows, scores, origins."""
        arrays = (self.rows.astype("<u4"), self.scores.astype("<f4"), self.origins)
        body = bytes([self.has_more]) + b"".join(each.tobytes() for each in arrays)
        return seal(FORMAT, version, history_version, body)

    @classmethod
    def decoded(cls, version: ModelVersion, history_version: str, num_items: int, value: bytes) -> "Listing | None":
        """None when the value is broken, of another format, of another model, or of another history."""
        body = opened(FORMAT, version, history_version, value)
        if not body or (len(body) - 1) % _ITEM_BYTES:
            return None
        num = (len(body) - 1) // _ITEM_BYTES
        rows = np.frombuffer(body, "<u4", num, offset=1).astype(np.int64)
        scores = np.frombuffer(body, "<f4", num, offset=1 + 4 * num).astype(np.float32)
        origins = np.frombuffer(body, np.uint8, num, offset=1 + 8 * num)
        if not ((rows >= 1) & (rows <= num_items)).all() or not (origins < len(ORIGINS)).all():
            return None
        return cls(rows, scores, origins, bool(body[0]))


def work_out(question: Question, candidates: Candidates) -> Listing:
    """The part of the list that the question asks for; blocks. Raises BundleBroken when the model fails on this."""
    first, wishes = question.offset, question.wishes
    last = min(first + question.k, MAX_DEPTH)
    num = min(last + wishes.is_paged, MAX_DEPTH)  # one more tells whether there is a next page
    is_arranged = bool(wishes.quotas or wishes.diversity or wishes.context)
    depth = MAX_DEPTH if is_arranged or wishes.is_paged else num
    while True:
        pool, is_all = _pool(question, candidates, depth)
        rows, scores, origins = _in_places(question, pool, num)
        # With diversity or similar items the pool decides the order, so it is never another one.
        if len(rows) >= num or is_all or wishes.diversity or wishes.context or not wishes.quotas:
            break
        depth *= DEEPER
    ended(Stage.ARRANGE)
    return Listing(rows[first:last], scores[first:last], origins[first:last], len(rows) > last)


def _pool(question: Question, candidates: Candidates, depth: int) -> tuple[Pool, bool]:
    """The candidates, and whether they are all that there are."""
    wishes, model = question.wishes, question.model
    excluded = question.excluded
    weights = rules.weights(wishes.boosts, model, question.facts) if wishes.boosts else None
    pool = pool_of(candidates, depth, excluded, weights)
    is_all = len(pool.rows) < depth
    if wishes.context:
        looked_at = question.model.known_rows(wishes.context)
        pool = with_similar(pool, like_these(model, looked_at, excluded, weights))
    return pool, is_all


def _in_places(question: Question, pool: Pool, num: int) -> tuple[Rows, Vector, Origins]:
    """The first `num` of the list."""
    required, quotas, picker = (
        question.required(),
        rules.Quotas(question.wishes.quotas, question.facts),
        _picker(question, pool),
    )
    rows, scores, origins = list[int](), list[float](), list[int]()

    def place(row: int, score: float, origin: int) -> None:
        rows.append(row)
        scores.append(score)
        origins.append(origin)
        quotas.count(row)
        picker.chosen(row)

    of_rule, pool_rows = ORIGINS.index(Source.RULE), pool.rows.tolist()
    while len(rows) < num:
        row = required.at(len(rows) + 1)
        if row is not None:
            place(row, 0.0, of_rule)
            continue
        position = picker.next()
        if position is None:
            break
        if quotas.have_room(pool_rows[position]):
            place(pool_rows[position], float(pool.relevance[position]), int(pool.origins[position]))
    for row in required.rest():
        if len(rows) < num:
            place(row, 0.0, of_rule)
    return np.array(rows, np.int64), np.array(scores, np.float32), np.array(origins, np.uint8)


def _picker(question: Question, pool: Pool) -> Picker:
    weight, index = question.wishes.diversity, question.model.index
    if not weight:
        return ByRelevance(len(pool.rows))
    has_vectors = index.dim > 0
    likeness = Cosine(index, pool.rows) if has_vectors else SharedCategories(question.facts, pool.rows)
    return MarginalRelevance(pool.relevance, likeness, weight)
