"""How many rows one statement may take."""

from collections.abc import Iterator
from typing import Final, TypeVar

_T = TypeVar("_T")

ROWS_PER_STATEMENT: Final = 1_000  # larger: SQLite's 32,766 parameters run out; smaller: more round trips


def batches(values: list[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(values), ROWS_PER_STATEMENT):
        yield values[start : start + ROWS_PER_STATEMENT]
