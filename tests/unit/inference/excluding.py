"""What is excluded, from sets of rows."""

from collections.abc import Collection

import numpy as np
from hypothesis import strategies as st

from services.inference.excluded import Excluded


def excluded_of(rows: Collection[int]) -> Excluded:
    return Excluded(np.array(sorted(rows), dtype=np.int64))


@st.composite
def excluded_in_two_parts(draw: st.DrawFn, rows: Collection[int], num_items: int) -> Excluded:
    """The same rows whichever way they are said: each flagged, named, or both."""
    ways = {row: draw(st.sampled_from(("flagged", "named", "both"))) for row in sorted(rows)}
    flagged = [row for row, way in ways.items() if way != "named"]
    named = draw(st.permutations([row for row, way in ways.items() if way != "flagged"]))
    flags = np.isin(np.arange(num_items + 1), flagged)
    return Excluded.of(np.array(named, dtype=np.int64), flags, len(flagged))
