"""Moments as the wire has them."""

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.errors import InvalidField

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    return datetime.now(UTC)


def set_time(timestamp: Timestamp, field_name: str, moment: datetime) -> None:
    """As Timestamp.FromDatetime, but three times as fast, and a time without a zone is an error instead of UTC."""
    if moment.tzinfo is None:
        raise InvalidField(field_name, "has no time zone; use datetime.now(UTC) or another aware datetime")
    since_epoch = moment - EPOCH
    timestamp.seconds = since_epoch.days * 86_400 + since_epoch.seconds
    timestamp.nanos = since_epoch.microseconds * 1_000
