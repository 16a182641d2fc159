"""What a terminal may be given of text that others wrote."""

from typing import Final

from rich.markup import escape

_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """One line, without what a producer could make a terminal do: control characters, line ends, turned directions."""
    return "".join(char if char.isprintable() else _REPLACEMENT for char in text)


def cell(text: str) -> str:
    """Printable, and as it stands where Rich looks for markup, as in its tables."""
    return escape(printable(text))


def printable_lines(text: str, indent: int) -> str:
    """Each line printable, all but the first after so many spaces, so that none passes for a line of ours."""
    lines = text.expandtabs(4).split("\n")
    return f"\n{'':{indent}}".join(map(printable, lines))
