"""Answers: what a request asks for and what a reply holds."""

from dataclasses import dataclass
from enum import StrEnum

from services.domain.ids import ItemId, ModelVersion


class Source(StrEnum):
    MODEL = "model"
    POPULAR = "popular"


class Degraded(StrEnum):
    NONE = ""
    FEATURE_STORE_DOWN = "feature_store_down"
    MODEL_FAILED = "model_failed"
    CATALOG_DOWN = "catalog_down"


@dataclass(frozen=True, slots=True)
class ScoredItem:
    item_id: ItemId
    score: float


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The best items for one user, best first, all from one model version."""

    items: tuple[ScoredItem, ...]
    model_version: ModelVersion
    history_version: str
    catalog_version: str
    """A fingerprint of which of the model's items could not be shown; empty when all could."""
    source: Source
    degraded: Degraded = Degraded.NONE
    cache_hit: bool = False
