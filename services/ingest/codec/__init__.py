"""The codecs: what a record on each topic says, or why it is dead."""

from services.ingest.codec.events import decode_event
from services.ingest.codec.items import decode_item
from services.ingest.codec.records import Limits
from services.ingest.codec.users import decode_user

__all__ = ["Limits", "decode_event", "decode_item", "decode_user"]
