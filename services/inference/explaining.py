"""Why an item is in a list: measured, by asking the model again without each of the user's newest events.

Only for who asks: it costs an encoding for each event, and is not cached.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from services.domain.errors import BundleBroken
from services.domain.history_input import HistoryRows
from services.domain.interactions import HistoryEntry
from services.domain.recommendations import Explanation, Influence, Recommendation, Source
from services.domain.wishes import EVERYTHING
from services.inference.excluded import Rows, Vector
from services.inference.question import Question
from services.inference.rules import boosted_rows

MAX_EVENTS: Final = 20  # left out in turn, the newest first. Larger: slower; smaller: older events are never the reason
MAX_INFLUENCES: Final = 3  # told of each item, the strongest first. Larger: a longer reply; smaller: less is told


def explained(question: Question, answer: Recommendation) -> tuple[Explanation, ...]:
    """One for each item of the answer; blocks for as many encodings as events are left out."""
    rows = question.model.known_rows(each.item_id for each in answer.items)
    changes = _changes(question, rows) if answer.source is Source.MODEL and len(rows) else []
    boosted = [set(boosted_rows(boost, question.model, question.facts).tolist()) for boost in question.wishes.boosts]
    required = {each.item_id: number for number, each in enumerate(question.wishes.must_include)}

    def rules(place: int) -> Iterator[str]:
        item = answer.items[place]
        if item.source is Source.RULE:
            yield f"must_include[{required[item.item_id]}]"
            return
        if question.wishes.filter != EVERYTHING:
            yield "filter"
        yield from (f"boosts[{number}]" for number, found in enumerate(boosted) if int(rows[place]) in found)
        if question.wishes.diversity:
            yield "diversity"
        if question.wishes.quotas:
            yield "quotas"
        if item.source is Source.SIMILAR:
            yield "context_item_ids"

    return tuple(Explanation(_strongest(changes, place), tuple(rules(place))) for place in range(len(rows)))


def _changes(question: Question, rows: Rows) -> list[tuple[HistoryEntry, Vector]]:
    """The events that the model reads, the newest first, and by how much each raises the scores of these rows."""
    model, entries = question.model, question.history.entries
    try:
        whole = _scores(question, question.history_rows, rows)
        changes = list[tuple[HistoryEntry, Vector]]()
        for place in range(len(entries) - 1, -1, -1):
            if len(changes) == MAX_EVENTS:
                break
            without = model.history_rows((*entries[:place], *entries[place + 1 :]))
            if not _same(without, question.history_rows):
                changes.append((entries[place], whole - _scores(question, without, rows)))
    except BundleBroken:  # the answer stands; why it is as it is cannot be measured
        return []
    return changes


def _scores(question: Question, history: HistoryRows, rows: Rows) -> Vector:
    """In the order of the rows; 0 from a model that then knows nothing of the user."""
    scorer = question.model.scorer
    if not scorer.knows(history):
        return np.zeros(len(rows), dtype=np.float32)
    ranked, scores = scorer.ranked(history, rows)
    found = np.empty(len(rows), dtype=np.float32)
    found[np.argsort(rows)] = scores[np.argsort(ranked)]
    return found


def _same(first: HistoryRows, second: HistoryRows) -> bool:
    return all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


def _strongest(changes: list[tuple[HistoryEntry, Vector]], place: int) -> tuple[Influence, ...]:
    found = [
        Influence(entry.item_id, entry.event_type, entry.event_time_us, float(change[place]))
        for entry, change in changes
        if change[place]
    ]
    return tuple(sorted(found, key=lambda each: -abs(each.change))[:MAX_INFLUENCES])
