"""Answers: what a request asks for and what a reply holds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.domain.counters import CounterKind
from services.domain.ids import ItemId, ModelVersion, UserId
from services.domain.interactions import UserHistory
from services.domain.pages import Page
from services.domain.wishes import EVERYTHING, NO_WISHES, Filter, Wishes

ANYBODY: Final = UserId("")
"""Who asks without a name: all that is known of them is what the request brings."""


NO_HISTORY: Final = UserHistory()


class Seen(StrEnum):
    """Which items are left out because the user has met them."""

    EXCLUDE_CONSUMED = "exclude_consumed"
    EXCLUDE_SHOWN = "exclude_shown"
    """And the consumed."""
    INCLUDE = "include"


@dataclass(frozen=True, slots=True)
class Query:
    """What a request for a list asks for."""

    user_id: UserId
    k: int = 10
    brought: UserHistory = NO_HISTORY
    """What the caller says that they did: all there is for ANYBODY, and for a user whose history cannot be read."""
    excluded: frozenset[ItemId] = frozenset()
    """Items that are not wanted, whatever the user did."""
    seen: Seen = Seen.EXCLUDE_CONSUMED
    shown_since_us: int = 0
    """With EXCLUDE_SHOWN: what was shown then or later, µs since 1970."""
    wishes: Wishes = NO_WISHES
    page: Page | None = None
    """Which part of the list; None: the first, and no other will be asked for."""
    explain: bool = False


class Source(StrEnum):
    MODEL = "model"
    POPULAR = "popular"
    """In a model's training data."""
    COUNTERS = "counters"
    """With all users, now."""
    SIMILAR = "similar"
    """To what the user looks at. Of an item only."""
    RULE = "rule"
    """The caller said that it must be there. Of an item only."""


class Degraded(StrEnum):
    NONE = ""
    FEATURE_STORE_DOWN = "feature_store_down"
    MODEL_FAILED = "model_failed"
    CATALOG_DOWN = "catalog_down"
    LATE = "late"
    """Half of the time that the caller gives was gone before the model was asked."""


@dataclass(frozen=True, slots=True)
class ScoredItem:
    item_id: ItemId
    score: float
    source: Source | None = None
    """None: that of its list."""


@dataclass(frozen=True, slots=True)
class Influence:
    """What an event of the user did to the score of an item: so much higher it is than without the event."""

    item_id: ItemId
    event_type: str
    event_time_us: int
    change: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item is in a list. rules: the parts of the request that acted on it, in the contract's words."""

    influences: tuple[Influence, ...] = ()
    rules: tuple[str, ...] = ()


class NotRanked(StrEnum):
    """Why an item of a caller's list has no rank, or no place."""

    NO = ""
    UNKNOWN_ITEM = "unknown_item"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An item that was to be in the list and is not."""

    item_id: ItemId
    reason: NotRanked


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The best items for one user, best first, all from one model version."""

    items: tuple[ScoredItem, ...]
    model_version: ModelVersion
    history_version: str
    catalog_version: str
    """A fingerprint of which of the model's items could not be shown; empty when all could. Where what is known of the
    items decides the list, of that as well."""
    source: Source
    degraded: Degraded = Degraded.NONE
    cache_hit: bool = False
    left_out: tuple[LeftOut, ...] = ()
    next_page: Page | None = None
    """None: there is no more, or nobody asked for it."""
    explanations: tuple[Explanation, ...] = ()
    """One an item, when asked for."""


@dataclass(frozen=True, slots=True)
class RankedItem:
    """One item of a caller's list; rank: 1 is the best."""

    item_id: ItemId
    score: float | None = None
    rank: int | None = None
    not_ranked: NotRanked = NotRanked.NO


@dataclass(frozen=True, slots=True)
class Ranking:
    """A caller's list in the caller's order, all of it judged by one model version."""

    items: tuple[RankedItem, ...]
    model_version: ModelVersion
    history_version: str
    catalog_version: str
    source: Source
    degraded: Degraded = Degraded.NONE


@dataclass(frozen=True, slots=True)
class PopularQuery:
    """What a request for what is popular asks for; surface: None: all of them together."""

    kind: CounterKind
    k: int
    surface: str | None = None
    excluded: frozenset[ItemId] = frozenset()
    filter: Filter = EVERYTHING


@dataclass(frozen=True, slots=True)
class PopularList:
    """What is popular with all users, best first."""

    items: tuple[ScoredItem, ...]
    source: Source
    degraded: Degraded = Degraded.NONE
