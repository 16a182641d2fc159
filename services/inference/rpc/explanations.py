"""Why an item is in a list, on the wire."""

from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.recommendations import Explanation, Influence


def explained(explanation: Explanation) -> wire.Explanation:
    return wire.Explanation(influences=map(_influence, explanation.influences), rules=explanation.rules)


def _influence(influence: Influence) -> wire.Influence:
    message = wire.Influence(item_id=influence.item_id, event_type=influence.event_type, change=influence.change)
    message.event_time.FromMicroseconds(influence.event_time_us)
    return message
