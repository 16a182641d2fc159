"""Where a gRPC server counts its calls; a server with more to count extends it."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from services.domain.metrics import REQUEST_SECONDS, REQUESTS
from services.rpc.histogram import LoopHistogram

# Seconds. The model answers in less than a millisecond; the store's timeout is a quarter of a second by default.
_LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class CallRecorder:
    """Counters in a registry of their own, so that two of them can live in one process."""

    def __init__(self, buckets: Sequence[float] = _LATENCY_BUCKETS) -> None:
        """buckets: upper bounds of the latency histogram, seconds."""
        self.registry = CollectorRegistry()
        self._requests = Counter(REQUESTS.name, REQUESTS.meaning, REQUESTS.labels, registry=self.registry)
        self._by_method: dict[tuple[str, str], Counter] = {}
        """What `labels` finds, which takes longer than to count."""
        self._seconds = LoopHistogram(REQUEST_SECONDS, buckets, self.registry)

    def request(self, method: str, code: str, seconds: float) -> None:
        """One gRPC call was answered. method: full name; code: a gRPC status word such as OK."""
        counter = self._by_method.get((method, code))
        if counter is None:
            counter = self._by_method[method, code] = self._requests.labels(method, code)
        counter.inc()
        self._seconds.observe(method, seconds)

    def value(self, name: str, **labels: str) -> float:
        """The present value of a sample, 0.0 when it was never touched."""
        return self.registry.get_sample_value(name, labels) or 0.0
