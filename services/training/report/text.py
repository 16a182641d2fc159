"""How what others wrote, and figures, become text of a page: nothing of it can be markup, or longer than a line."""

import html
import math
from typing import Final

MAX_CHARS: Final = 120  # larger: one title fills the page; smaller: titles are cut that differ later


def said(text: str) -> str:
    """Escaped, on one line, cut where it is long, and without characters that cannot be shown."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: MAX_CHARS + 1])
    return html.escape(shown if len(shown) <= MAX_CHARS else f"{shown[: MAX_CHARS - 1]}…", quote=True)


def written(value: float) -> str:
    """Counts whole, shares with four digits, what is large with one; a dash for what is no number."""
    if not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) >= 1:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}"


def signed(value: float) -> str:
    """A difference."""
    return f"{value:+.4f}" if math.isfinite(value) else "–"
