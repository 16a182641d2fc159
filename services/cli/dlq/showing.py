"""Dead letters for people and for machines: as text, as a table, as JSON."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from services.cli.terminal import cell
from services.domain.dead_letters import StoredLetter
from services.domain.stored_records import Position


def text_of(content: bytes | None) -> str | None:
    """The bytes as UTF-8 text; as `hex:…` when they are none, or hold what a terminal should not be given."""
    if content is None:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"hex:{content.hex()}"
    return text if all(char.isprintable() or char in "\n\t" for char in text) else f"hex:{content.hex()}"


def document_of(letter: StoredLetter, state: str | None) -> dict[str, Any]:
    """A letter as JSON. `state` says whether it was sent again; None when that is not known."""
    return {
        "id": str(letter.position),
        "time": time_of(letter).isoformat(),
        "source": None if letter.source is None else str(letter.source),
        "reason": letter.reason,
        "detail": letter.detail,
        "content_type": letter.content_type,
        "key": text_of(letter.key),
        "value": text_of(letter.value),
        "full_size_bytes": letter.full_size_bytes,
        "replay": state,
    }


def time_of(letter: StoredLetter) -> datetime:
    return datetime.fromtimestamp(letter.time_us / 1_000_000, UTC)


def table(letters: Sequence[StoredLetter], states: Mapping[Position, str]) -> Table:
    shown = Table("id", "written", "reason", "detail", "sent again")
    for column in shown.columns[:1]:
        column.overflow = "fold"  # an id is there to be copied
    for letter in letters:
        shown.add_row(
            str(letter.position),
            f"{time_of(letter):%Y-%m-%d %H:%M:%S}",
            cell(letter.reason) or "not said",
            cell(letter.detail),
            states.get(letter.position, ""),
        )
    return shown
