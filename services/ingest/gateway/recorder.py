"""Where the gateway counts: its calls, and what became of the events in them."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter

from services.domain.metrics import PUBLISHED_EVENTS
from services.ingest.gateway.outcomes import Status
from services.rpc.recorder import CallRecorder

_LATENCY_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class GatewayRecorder(CallRecorder):
    def __init__(self) -> None:
        super().__init__(_LATENCY_BUCKETS)
        self._events = Counter(
            PUBLISHED_EVENTS.name, PUBLISHED_EVENTS.meaning, PUBLISHED_EVENTS.labels, registry=self.registry
        )

    def published(self, counts: Mapping[Status, int]) -> None:
        """Events that were answered, by what became of them."""
        for status, count in counts.items():
            self._events.labels(status.value).inc(count)
