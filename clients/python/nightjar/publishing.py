"""Events over gRPC, apart from the connection: what became of each, and requests of a size that every server takes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nightjar.errors import InvalidField
from nightjar.v1 import event_pb2
from nightjar.v1 import event_service_pb2 as pb2

MAX_REQUEST_BYTES: Final = 1_000_000  # the least that an operator can set is 1 MiB
_FIELD_BYTES: Final = 8  # what an event costs in a request besides its own bytes, at most
_WORDS: Final[Mapping[int, str]] = {pb2.PUBLISH_STATUS_STORED: "stored", pb2.PUBLISH_STATUS_INVALID: "invalid"}


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What became of one event.

    status: "stored", "invalid" (it breaks the contract; do not send it again) or "not_stored" (send it again). problem:
    a stable word, such as "unknown_type"; detail: the same as a sentence; both empty when it is stored.
    """

    event_id: str
    status: str
    problem: str = ""
    detail: str = ""

    @property
    def stored(self) -> bool:
        """True when Kafka's in-sync replicas have the event."""
        return self.status == "stored"

    @classmethod
    def from_proto(cls, result: pb2.PublishResult) -> "PublishResult":
        """A status of a server newer than this SDK counts as not stored: sending again is always safe."""
        return cls(result.event_id, _WORDS.get(result.status, "not_stored"), result.problem, result.detail)


def in_requests(events: Sequence[event_pb2.Event], max_events: int) -> Iterator[range]:
    """The rows of each request's events, in order; raises InvalidField for an event that fits in none."""
    start, size_bytes = 0, 0
    for row, event in enumerate(events):
        event_bytes = event.ByteSize() + _FIELD_BYTES
        if event_bytes > MAX_REQUEST_BYTES:
            raise InvalidField("event", f"{event.event_id!r} has {event_bytes} bytes; at most {MAX_REQUEST_BYTES} fit")
        if row - start == max_events or size_bytes + event_bytes > MAX_REQUEST_BYTES:
            yield range(start, row)
            start, size_bytes = row, 0
        size_bytes += event_bytes
    if start < len(events):
        yield range(start, len(events))
