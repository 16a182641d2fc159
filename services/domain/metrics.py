"""The one catalogue of metric names: every counter, gauge and histogram a process may export."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name with its unit, its meaning, and its labels (bounded sets, never user or item ids)."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


REQUESTS = Metric("nightjar_requests_total", Kind.COUNTER, "gRPC calls answered", ("method", "code"))
REQUEST_SECONDS = Metric("nightjar_request_seconds", Kind.HISTOGRAM, "time to answer a gRPC call", ("method",))
STAGE_SECONDS = Metric("nightjar_stage_seconds", Kind.HISTOGRAM, "time of an answer in each stage", ("stage",))
CACHE_LOOKUPS = Metric("nightjar_cache_lookups_total", Kind.COUNTER, "result cache look-ups", ("outcome",))
MODEL_SWAPS = Metric("nightjar_model_swaps_total", Kind.COUNTER, "model swaps tried by a worker", ("outcome",))
MODEL_PREPARATIONS = Metric(
    "nightjar_model_preparations_total", Kind.COUNTER, "models that a worker was asked to get ready", ("outcome",)
)
MODEL_GENERATION = Metric("nightjar_model_generation", Kind.GAUGE, "the generation this worker serves")
TRIAL_ANSWERS = Metric(
    "nightjar_trial_answers_total",
    Kind.COUNTER,
    "requests that a canary or a shadow had a part in",
    ("kind", "outcome"),
)
PUBLISHED_EVENTS = Metric("nightjar_published_events_total", Kind.COUNTER, "events that came over gRPC", ("status",))

CATALOGUE = (
    REQUESTS,
    REQUEST_SECONDS,
    PUBLISHED_EVENTS,
    STAGE_SECONDS,
    CACHE_LOOKUPS,
    MODEL_SWAPS,
    MODEL_PREPARATIONS,
    MODEL_GENERATION,
    TRIAL_ANSWERS,
)
