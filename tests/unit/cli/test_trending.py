"""What `nightjar features trending` prints for people."""

import pytest
from rich.console import Console

from services.cli.features.trending import table
from services.domain.counters import CounterKind

EVIL = "[/foo] \x1b]0;owned\x07\x9b2J\x1b[31m\\"


@pytest.mark.parametrize("by_category", [False, True])
def test_no_name_and_no_title_makes_a_terminal_do_anything_or_breaks_the_table(by_category: bool) -> None:
    """Both are whatever a producer of items chose."""
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        ranked = [(EVIL, 2.0), ("book", 1.0)]
        console.print(table(CounterKind.TRENDING, ranked, {EVIL: EVIL, "book": EVIL}, by_category=by_category))
    assert all(line.isprintable() for line in captured.get().splitlines())
    assert captured.get().count("[/foo] \N{REPLACEMENT CHARACTER}]0;owned") == (1 if by_category else 3)
