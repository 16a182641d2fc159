"""What people write into the registry: who they are, and why they do something. Read by every edge alike."""

from typing import Final

from services.domain.errors import InvalidRequest
from services.domain.ids import id_problem
from services.domain.models import Pin

MAX_REASON_BYTES: Final = 1_024  # a sentence, not a document: people read the audit log


def check_actor(actor: str) -> None:
    """Raises InvalidRequest."""
    if problem := id_problem(actor):
        raise InvalidRequest("actor", problem)


def checked_reason(field: str, reason: str) -> str:
    """The reason without blanks around it; raises InvalidRequest, which names the field."""
    reason = reason.strip()
    if len(reason.encode("utf-8", "surrogatepass")) > MAX_REASON_BYTES:
        raise InvalidRequest(field, f"has more than {MAX_REASON_BYTES} bytes")
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in reason):
        raise InvalidRequest(field, "holds a control character")
    return reason


def pin_of(actor: str, reason: str) -> Pin:
    """Raises InvalidRequest for a bad actor, a bad reason, and none."""
    check_actor(actor)
    reason = checked_reason("reason", reason)
    if not reason:
        raise InvalidRequest("reason", "must say why the version is kept")
    return Pin(actor, reason)
