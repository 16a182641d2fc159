"""Nightjar for Python: send events with EventProducer (Kafka) or EventsClient (gRPC), ask with RecommenderClient.

The names are imported when they are first used: a process that only needs nightjar.v1 loads neither Kafka nor gRPC.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nightjar.aio_client import AsyncRecommenderClient
    from nightjar.answers import (
        Explanation,
        Influence,
        LeftOutItem,
        PopularItems,
        RankedItem,
        Ranking,
        Recommendation,
        ScoredItem,
        SimilarItems,
    )
    from nightjar.asking import RecentEvent
    from nightjar.batches import Ask, RecommendationBatch
    from nightjar.catalog import Item, Price, User
    from nightjar.client import RecommenderClient
    from nightjar.delivery import Delivery, DeliveryReport
    from nightjar.errors import (
        BrokerUnreachable,
        BufferFull,
        CallFailed,
        DeliveryFailed,
        EventsError,
        EventsNotStored,
        FlushTimedOut,
        InvalidField,
        NightjarClientError,
        RecommenderError,
    )
    from nightjar.events import Event
    from nightjar.events_client import EventsClient
    from nightjar.producer import EventProducer
    from nightjar.publishing import PublishResult
    from nightjar.wishes import Boost, Filter, MustInclude, Quota, Wishes

__all__ = [
    "Ask",
    "AsyncRecommenderClient",
    "Boost",
    "BrokerUnreachable",
    "BufferFull",
    "CallFailed",
    "Delivery",
    "DeliveryFailed",
    "DeliveryReport",
    "Event",
    "EventProducer",
    "EventsClient",
    "EventsError",
    "EventsNotStored",
    "Explanation",
    "Filter",
    "FlushTimedOut",
    "Influence",
    "InvalidField",
    "Item",
    "LeftOutItem",
    "MustInclude",
    "NightjarClientError",
    "PopularItems",
    "Price",
    "PublishResult",
    "Quota",
    "RankedItem",
    "Ranking",
    "RecentEvent",
    "Recommendation",
    "RecommendationBatch",
    "RecommenderClient",
    "RecommenderError",
    "ScoredItem",
    "SimilarItems",
    "User",
    "Wishes",
]

_HOMES = {
    "aio_client": ("AsyncRecommenderClient",),
    "answers": (
        "Explanation",
        "Influence",
        "LeftOutItem",
        "PopularItems",
        "RankedItem",
        "Ranking",
        "Recommendation",
        "ScoredItem",
        "SimilarItems",
    ),
    "asking": ("RecentEvent",),
    "batches": ("Ask", "RecommendationBatch"),
    "catalog": ("Item", "Price", "User"),
    "client": ("RecommenderClient",),
    "delivery": ("Delivery", "DeliveryReport"),
    "errors": (
        "BrokerUnreachable",
        "BufferFull",
        "CallFailed",
        "DeliveryFailed",
        "EventsError",
        "EventsNotStored",
        "FlushTimedOut",
        "InvalidField",
        "NightjarClientError",
        "RecommenderError",
    ),
    "events": ("Event",),
    "events_client": ("EventsClient",),
    "producer": ("EventProducer",),
    "publishing": ("PublishResult",),
    "wishes": ("Boost", "Filter", "MustInclude", "Quota", "Wishes"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nightjar' has no attribute {name!r}")
    return getattr(import_module(f"nightjar.{_HOME_OF[name]}"), name)
