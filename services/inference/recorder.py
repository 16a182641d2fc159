"""Where serving counts: the metrics of `domain/metrics.py`, as prometheus-client objects of this process."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.domain.metrics import CACHE_LOOKUPS, MODEL_GENERATION, MODEL_SWAPS, REQUEST_SECONDS, REQUESTS

# Seconds. The model answers in less than a millisecond; the store's timeout is a quarter of a second by default.
_LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_CACHE_OUTCOMES: Final[Mapping[bool, str]] = {True: "hit", False: "miss"}
_SWAP_OUTCOMES: Final[Mapping[bool, str]] = {True: "swapped", False: "failed"}


class Recorder:
    """The counters of one worker, in a registry of their own, so that two of them can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        on = self.registry
        self._requests = Counter(REQUESTS.name, REQUESTS.meaning, REQUESTS.labels, registry=on)
        self._seconds = Histogram(
            REQUEST_SECONDS.name, REQUEST_SECONDS.meaning, REQUEST_SECONDS.labels, registry=on, buckets=_LATENCY_BUCKETS
        )
        self._lookups = Counter(CACHE_LOOKUPS.name, CACHE_LOOKUPS.meaning, CACHE_LOOKUPS.labels, registry=on)
        self._swaps = Counter(MODEL_SWAPS.name, MODEL_SWAPS.meaning, MODEL_SWAPS.labels, registry=on)
        self._generation = Gauge(MODEL_GENERATION.name, MODEL_GENERATION.meaning, registry=on)

    def request(self, method: str, code: str, seconds: float) -> None:
        """One gRPC call was answered. method: full name; code: a gRPC status word such as OK."""
        self._requests.labels(method, code).inc()
        self._seconds.labels(method).observe(seconds)

    def cache_lookup(self, *, hit: bool) -> None:
        self._lookups.labels(_CACHE_OUTCOMES[hit]).inc()

    def model_swap(self, *, succeeded: bool) -> None:
        self._swaps.labels(_SWAP_OUTCOMES[succeeded]).inc()

    def model_generation(self, generation: int) -> None:
        self._generation.set(generation)

    def value(self, name: str, **labels: str) -> float:
        """The present value of a sample, 0.0 when it was never touched."""
        return self.registry.get_sample_value(name, labels) or 0.0
