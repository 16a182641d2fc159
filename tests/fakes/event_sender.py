"""Kafka's side of the gateway in memory: it takes events and reports on them when the test says so."""

from collections.abc import Callable

from nightjar.v1 import event_pb2
from services.domain.errors import BrokerDown


class FakeEventSender:
    """Events it took are in `sent`, in order. Without `automatic` each report waits for `acknowledge` or `lose`."""

    def __init__(self, *, automatic: bool = True) -> None:
        self.sent: list[event_pb2.Event] = []
        self.is_down = False
        self._automatic = automatic
        self._open: list[Callable[[str], None]] = []

    def send(self, event: event_pb2.Event, on_report: Callable[[str], None]) -> None:
        if self.is_down:
            raise BrokerDown("No broker answers.")
        self.sent.append(event)
        if self._automatic:
            on_report("")
        else:
            self._open.append(on_report)

    def acknowledge(self, count: int) -> None:
        """The oldest open events are stored."""
        for _ in range(count):
            self._open.pop(0)("")

    def lose(self, count: int) -> None:
        """The oldest open events are lost."""
        for _ in range(count):
            self._open.pop(0)("The event did not reach the topic.")
