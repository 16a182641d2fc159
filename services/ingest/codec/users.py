"""The edge: a record to a validated user, to the wish to be forgotten, or to the reason why it is dead."""

from nightjar.v1 import user_pb2
from services.domain.ids import UserId
from services.domain.streams import DeadLetter, DeadReason, Record
from services.domain.users import Erasure, User
from services.ingest.codec.records import Dead, Limits, attributes_of, check_id, or_dead, parse, time_us_of


def decode_user(record: Record, limits: Limits, now_us: int) -> User | Erasure | DeadLetter:
    """Never raises for anything a record may hold."""
    return or_dead(record, lambda: _erasure(record, now_us) if record.value is None else _user(record, limits, now_us))


def _user(record: Record, limits: Limits, now_us: int) -> User:
    message = parse(record, user_pb2.User, limits)
    check_id("user_id", message.user_id)
    if record.key != message.user_id.encode():
        # Under another key it would outlive the user's tombstone on the topic.
        raise Dead(DeadReason.INVALID_FIELD, "the record's key is not its user_id")
    return User(
        user_id=UserId(message.user_id),
        attributes=attributes_of(message.attributes),
        update_time_us=time_us_of("update_time", message, limits, now_us),
    )


def _erasure(record: Record, now_us: int) -> Erasure:
    try:
        user_id = (record.key or b"").decode()
    except UnicodeDecodeError as error:
        raise Dead(DeadReason.MALFORMED, "the key of a record without a value is not UTF-8") from error
    check_id("the key of a record without a value", user_id)
    # A clock that runs ahead must not forget what the user has yet to do.
    asked_us = now_us if record.timestamp_us is None else min(record.timestamp_us, now_us)
    return Erasure(UserId(user_id), asked_us)
