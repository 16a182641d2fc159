"""What a request brings along."""

from dataclasses import dataclass
from datetime import datetime

from nightjar.times import set_time
from nightjar.v1 import recommender_service_pb2 as pb2
from nightjar.validation import check_id


@dataclass(frozen=True, slots=True)
class RecentEvent:
    """Something a visitor did, told with a request and stored nowhere.

    event_type: one of the operator's words, such as "view". value: such as a rating. event_time: with a time zone;
    None: that of the event before it in the list.
    """

    item_id: str
    event_type: str
    event_time: datetime | None = None
    value: float | None = None

    def to_proto(self) -> pb2.RecentEvent:
        """Raises InvalidField."""
        check_id("item_id", self.item_id)
        check_id("event_type", self.event_type)
        message = pb2.RecentEvent(item_id=self.item_id, event_type=self.event_type, value=self.value)
        if self.event_time is not None:
            set_time(message.event_time, "event_time", self.event_time)
        return message
