"""Names from outside, and what a well-formed one is."""

from typing import Final, NewType

UserId = NewType("UserId", str)
ItemId = NewType("ItemId", str)
EventId = NewType("EventId", str)
ModelVersion = NewType("ModelVersion", str)

MAX_ID_BYTES: Final = 256  # larger: keys outgrow the values they name; smaller: URLs used as ids no longer fit


def id_problem(value: str) -> str | None:
    """Says what is wrong with an outside id, or None when it is well formed."""
    if not value:
        return "is empty"
    if len(value) <= MAX_ID_BYTES // 4 and value.isprintable():  # the usual case: a character has at most four bytes
        return None
    size_bytes = len(value.encode("utf-8", "surrogatepass"))
    if size_bytes > MAX_ID_BYTES:
        return f"has {size_bytes} bytes; at most {MAX_ID_BYTES} are allowed"
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
        return "holds a control character"
    return None
