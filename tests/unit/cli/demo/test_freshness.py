"""What the demo calls a changed answer: another list of items, whatever their scores."""

import pytest

from nightjar import Event, Recommendation
from nightjar.answers import ScoredItem
from services.cli.demo import freshness
from services.domain.errors import NotEnoughData, StartFailed
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.items import Item

ADA = UserId("ada")


class Recommender:
    """Answers from the events it was sent: scores move with each, the order of the items only if it is not stuck."""

    def __init__(self, *, stuck: bool = False, answers_late: int = 0) -> None:
        self.events: list[Event] = []
        self.num_calls = 0
        self._stuck = stuck
        self._late = answers_late

    def send(self, event: Event) -> None:
        self.events.append(event)
        self.num_calls = 0

    def ask(self, k: int) -> Recommendation:
        self.num_calls += 1
        known = max(0, len(self.events) - (self.num_calls <= self._late))
        ids = [f"item-{row}" for row in range(60)]
        if not self._stuck:
            ids[20:30] = ids[20 + known : 30] + ids[20 : 20 + known]  # below what is shown
        items = tuple(ScoredItem(item_id, 1.0 / (row + known + 1), row + 1) for row, item_id in enumerate(ids[:k]))
        return Recommendation(items, "", "m1", str(known), "model", degraded=False, degraded_reason="", cache_hit=False)


def measure(recommender: Recommender, timeout_s: float = 5.0) -> freshness.Freshness:
    items = [ItemId("a"), ItemId("b")]
    return freshness.measure(recommender.send, recommender.ask, ADA, items, "play", 10, timeout_s)


def test_another_order_below_the_shown_items_is_a_change() -> None:
    seen = measure(Recommender())
    assert len(seen.changed_ms) == 2
    assert [len(answer.items) for answer in (seen.before, seen.after)] == [10, 10]


def test_the_next_event_waits_for_the_change_of_the_one_before() -> None:
    recommender = Recommender(answers_late=3)
    assert len(measure(recommender).changed_ms) == 2
    assert [event.item_id for event in recommender.events] == ["a", "b"]


def test_moved_scores_alone_are_no_change() -> None:
    """Any event moves them: as a measure of freshness they would always agree."""
    with pytest.raises(StartFailed, match="did not change the answer"):
        measure(Recommender(stuck=True), timeout_s=0.05)


def test_a_user_who_has_seen_everything_is_one_sentence() -> None:
    seen = Interaction(EventId("e"), ADA, ItemId("a"), "play", 0)
    with pytest.raises(NotEnoughData, match="seen every item"):
        freshness.choose_items([Item(ItemId("a"), categories=("x",))], [seen], ADA)
