"""Days that end with the newest event: 24 hours each, so that the newest is whole though events go on.

A calendar day would be partial for as long as it lasts. Windows are numbered back in time: 0 is the newest, and number
7 is the same hours of the same weekday a week before.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

DAY_US: Final = 86_400_000_000
# Larger: what was usual a month ago still counts, and more is held; smaller: the same weekday is not among them.
NUM_BEFORE: Final = 14
NUM_WINDOWS: Final = 1 + NUM_BEFORE
WEEK: Final = 7


def window_of(times_us: npt.NDArray[np.int64], newest_us: int) -> npt.NDArray[np.int64]:
    """Each time's window, (n,); it holds its later end, not its earlier one. Below 0: later than the newest event."""
    numbers: npt.NDArray[np.int64] = np.floor_divide(newest_us - times_us, DAY_US)
    return numbers


def days_before(num_events: npt.NDArray[np.int64]) -> list[int]:
    """The windows before the newest one that it is held against, the newest first.

    num_events: (NUM_WINDOWS + 1,) events of each, the last of the window before all that are compared. Days without any
    event are left out: a shop that was closed for a week opens as it did before. So is the oldest with events, which
    the log's beginning may have cut; one stray event of long ago therefore makes no history.
    """
    with_events = np.flatnonzero(num_events)
    return [number for number in with_events.tolist()[:-1] if number > 0]


def same_weekday(days: Sequence[int]) -> list[int]:
    """Those of these windows that are of the newest one's weekday."""
    return [number for number in days if number % WEEK == 0]
