"""Three live events for one user: how long from producing an event to an answer that it changed."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nightjar import Event, Recommendation
from services.domain.errors import NotEnoughData, StartFailed
from services.domain.ids import ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.items import Item

NUM_LIVE_EVENTS = 3
CHANGE_TIMEOUT_S = 10.0
COMPARED = 50  # smaller: an event may leave the list as it is; larger: the measure asks for more than people do
TOP_VALUE = 5.0


@dataclass(frozen=True)
class Freshness:
    """A user's list before and after, what they did in between, and the milliseconds of each event."""

    user_id: UserId
    before: Recommendation
    after: Recommendation
    acted_on: tuple[ItemId, ...]
    changed_ms: tuple[float, ...]


def choose_items(items: Sequence[Item], events: Sequence[Interaction], user_id: UserId) -> list[ItemId]:
    """Items of the category that the user touched least, the most popular ones first: something new for them.

    Raises NotEnoughData when the user has seen them all.
    """
    seen = {event.item_id for event in events if event.user_id == user_id}
    popularity = Counter(event.item_id for event in events)
    categories = {item.item_id: item.categories for item in items}
    touched = Counter(category for item_id in seen for category in categories.get(item_id, ()))
    unseen = [item for item in items if item.item_id not in seen and popularity[item.item_id]]
    stock = Counter(category for item in unseen for category in item.categories)
    if not stock:
        raise NotEnoughData(f"User {user_id} has seen every item already; run the demo with more items.")
    rich = [category for category, number in stock.items() if number >= NUM_LIVE_EVENTS * 5]
    chosen = min(rich or stock, key=lambda category: (touched[category] / stock[category], category))
    candidates = [item.item_id for item in unseen if chosen in item.categories]
    return sorted(candidates, key=lambda item_id: (-popularity[item_id], item_id))[:NUM_LIVE_EVENTS]


def measure(
    send: Callable[[Event], object],
    ask: Callable[[int], Recommendation],
    user_id: UserId,
    item_ids: Sequence[ItemId],
    event_type: str,
    num_shown: int,
    timeout_s: float = CHANGE_TIMEOUT_S,
) -> Freshness:
    """Sends one event after the other, each as soon as the one before has changed the answer.

    ask: the user's answer of that many items. A change is another list: the ids of the COMPARED best items, in their
    order. Scores alone do not count, since any event moves them; the few items that are shown may stay the same
    although the list behind them moved, so more are compared. Raises StartFailed when there is no change in time.
    """
    answer = ask(COMPARED)
    before = ask(num_shown)
    changed_ms = []
    for item_id in item_ids:
        start = time.perf_counter()
        send(Event(user_id, item_id, event_type, value=TOP_VALUE))
        answer = _changed_answer(ask, answer, start, timeout_s)
        changed_ms.append(round((time.perf_counter() - start) * 1_000, 1))
    return Freshness(user_id, before, ask(num_shown), tuple(item_ids), tuple(changed_ms))


def _changed_answer(
    ask: Callable[[int], Recommendation], old: Recommendation, start: float, timeout_s: float
) -> Recommendation:
    """Asks again and again until the history is another one and so is the list."""
    while time.perf_counter() - start < timeout_s:
        answer = ask(COMPARED)
        if answer.history_version != old.history_version and _ids(answer) != _ids(old):
            return answer
    raise StartFailed("A live event did not change the answer in time; see logs/online.log in NIGHTJAR_HOME.")


def _ids(answer: Recommendation) -> list[str]:
    """Best first."""
    return [item.item_id for item in answer.items]
