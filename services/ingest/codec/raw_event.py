"""An event as parsed and not yet checked: what both encodings end in."""

from collections.abc import Mapping
from typing import TypeAlias

# The fields of Interaction, in its order, before anything is known to be right; event_time_us is negative for what is
# no time, and None when unset. A bare tuple: one is made for each record, and names would cost a tenth of a decode.
RawEvent: TypeAlias = tuple[
    str,  # event_id
    str,  # user_id
    str,  # item_id
    str,  # event_type
    int | None,  # event_time_us
    float | None,  # value
    str,  # session_id
    str,  # request_id
    int | None,  # position
    str,  # surface
    Mapping[str, str],  # attributes
    str,  # unknown_fields
]
