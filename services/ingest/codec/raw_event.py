"""An event as parsed and not yet checked: what both encodings end in."""

from collections.abc import Mapping
from typing import NamedTuple


class RawEvent(NamedTuple):
    """The fields of Interaction, in its order, before anything is known to be right."""

    event_id: str
    user_id: str
    item_id: str
    event_type: str
    event_time_us: int | None
    """Microseconds since 1970; negative for what is no time, None when unset."""
    value: float | None
    session_id: str
    request_id: str
    position: int | None
    surface: str
    attributes: Mapping[str, str]
    unknown_fields: str
    """See Interaction."""
