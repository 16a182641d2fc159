"""Three live events for one user: how long from producing an event to an answer that it changed."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nightjar import Event, EventProducer, Recommendation, RecommenderClient
from services.domain.errors import StartFailed
from services.domain.ids import ItemId, UserId
from services.domain.interactions import Interaction, Item

NUM_LIVE_EVENTS = 3
CHANGE_TIMEOUT_S = 10.0
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
    """Items of the category that the user touched least, the most popular ones first: something new for them."""
    seen = {event.item_id for event in events if event.user_id == user_id}
    popularity = Counter(event.item_id for event in events)
    categories = {item.item_id: item.categories for item in items}
    touched = Counter(category for item_id in seen for category in categories.get(item_id, ()))
    unseen = [item for item in items if item.item_id not in seen and popularity[item.item_id]]
    stock = Counter(category for item in unseen for category in item.categories)
    rich = [category for category, number in stock.items() if number >= NUM_LIVE_EVENTS * 5]
    chosen = min(rich or stock, key=lambda category: (touched[category] / stock[category], category))
    candidates = [item.item_id for item in unseen if chosen in item.categories]
    return sorted(candidates, key=lambda item_id: (-popularity[item_id], item_id))[:NUM_LIVE_EVENTS]


def measure(
    producer: EventProducer,
    client: RecommenderClient,
    user_id: UserId,
    item_ids: Sequence[ItemId],
    event_type: str,
    k: int,
) -> Freshness:
    """Sends one event after the other, each as soon as the one before has changed the answer."""
    before = answer = client.recommend(user_id, k)
    changed_ms = []
    for item_id in item_ids:
        start = time.perf_counter()
        producer.send(Event(user_id, item_id, event_type, value=TOP_VALUE))
        answer = _changed_answer(client, user_id, k, answer, start)
        changed_ms.append(round((time.perf_counter() - start) * 1_000, 1))
    return Freshness(user_id, before, answer, tuple(item_ids), tuple(changed_ms))


def _changed_answer(
    client: RecommenderClient, user_id: UserId, k: int, old: Recommendation, start: float
) -> Recommendation:
    """Asks again and again until the history is another one and so is the list."""
    while time.perf_counter() - start < CHANGE_TIMEOUT_S:
        answer = client.recommend(user_id, k)
        if answer.history_version != old.history_version and answer.items != old.items:
            return answer
    raise StartFailed("A live event did not change the answer in time; see logs/online.log in NIGHTJAR_HOME.")
