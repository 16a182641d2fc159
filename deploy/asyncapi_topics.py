"""What the AsyncAPI document says of each topic beyond the contracts: addresses, bounds, examples."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.proto_schemas import FieldLimits
from services.domain.ids import MAX_ID_BYTES
from services.ingest.codec import items, records
from services.settings import KafkaSettings

_ID: Final = {"minLength": 1, "maxLength": MAX_ID_BYTES}
_WORD: Final = {"maxLength": records.MAX_WORD_BYTES}
_ATTRIBUTES: Final = {"maxProperties": records.MAX_ATTRIBUTES}
LIMITS: Final[FieldLimits] = {
    ("Event", "event_id"): _ID,
    ("Event", "user_id"): _ID,
    ("Event", "item_id"): _ID,
    ("Event", "session_id"): _WORD,
    ("Event", "request_id"): _WORD,
    ("Event", "surface"): _WORD,
    ("Event", "attributes"): _ATTRIBUTES,
    ("Item", "item_id"): _ID,
    ("Item", "title"): {"maxLength": records.MAX_TEXT_BYTES},
    ("Item", "description"): {"maxLength": items.MAX_DESCRIPTION_BYTES},
    ("Item", "categories"): {"maxItems": records.MAX_CATEGORIES},
    ("Item", "categories*"): _WORD,
    ("Item", "tags"): {"maxItems": items.MAX_TAGS},
    ("Item", "tags*"): _WORD,
    ("Item", "embedding"): {"maxItems": items.MAX_EMBEDDING},
    ("Item", "attributes"): _ATTRIBUTES,
    ("User", "user_id"): _ID,
    ("User", "attributes"): _ATTRIBUTES,
}

EVENT_EXAMPLES: Final = (
    {
        "name": "view",
        "summary": "The least that an event has.",
        "x-key": "user-42",
        "payload": {
            "eventId": "0191f3a4-7c1e-7000-8000-000000000001",
            "userId": "user-42",
            "itemId": "item-50",
            "type": "view",
            "eventTime": "2026-01-31T12:00:00Z",
        },
    },
    {
        "name": "rating",
        "summary": "A rating that answers a recommendation, with a field that this version does not know.",
        "x-key": "user-42",
        "payload": {
            "eventId": "0191f3a4-7c1e-7000-8000-000000000002",
            "userId": "user-42",
            "itemId": "item-50",
            "type": "rating",
            "eventTime": "2026-01-31T12:03:20.250Z",
            "value": 4.5,
            "sessionId": "session-7",
            "requestId": "5f0c7d3e",
            "position": 0,
            "surface": "home",
            "attributes": {"device": "phone"},
            "mood": "curious",
        },
    },
)
ITEM_EXAMPLES: Final = (
    {
        "name": "item",
        "summary": "An item with a price and a window in which it may be recommended.",
        "x-key": "item-50",
        "payload": {
            "itemId": "item-50",
            "title": "Star Wars",
            "description": "A farm boy leaves home.",
            "categories": ["Action", "Sci-Fi"],
            "tags": ["classic"],
            "price": {"currencyCode": "EUR", "units": "12", "nanos": 990_000_000},
            "availableFromTime": "2026-01-01T00:00:00Z",
            "availableUntilTime": "2027-01-01T00:00:00Z",
            "updateTime": "2026-01-31T12:00:00Z",
        },
    },
    {
        "name": "hidden",
        "summary": "The same item, taken out of every answer; what is left out is empty from now on.",
        "x-key": "item-50",
        "payload": {"itemId": "item-50", "hidden": True, "updateTime": "2026-02-01T08:00:00Z"},
    },
)
USER_EXAMPLES: Final = (
    {
        "name": "user",
        "summary": "What is known of a user.",
        "x-key": "user-42",
        "payload": {"userId": "user-42", "attributes": {"country": "DE"}, "updateTime": "2026-01-31T12:00:00Z"},
    },
    {"name": "erasure", "summary": "A tombstone: the user is to be forgotten.", "x-key": "user-42", "payload": None},
)


@dataclass(frozen=True)
class Topic:
    """One of the topics producers write to: its channel's name, its message, its key, and examples as JSON."""

    channel: str
    address: str
    message: str
    key: str
    examples: tuple[Mapping[str, Any], ...]


def topics() -> tuple[Topic, ...]:
    """With the addresses that the settings have by default."""
    kafka = KafkaSettings()
    return (
        Topic("events", kafka.events_topic, "Event", "user_id", EVENT_EXAMPLES),
        Topic("items", kafka.items_topic, "Item", "item_id", ITEM_EXAMPLES),
        Topic("users", kafka.users_topic, "User", "user_id", USER_EXAMPLES),
    )
