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


def whole_windows(num_events: npt.NDArray[np.int64]) -> int:
    """How many of the windows before the newest one the log covers from end to end.

    num_events: (NUM_WINDOWS + 1,) events of each, the last of the window before all that are compared. The oldest with
    events in it is taken to be cut by the log's beginning, so that one stray event of long ago makes no history.
    """
    return int(np.flatnonzero(num_events).max(initial=1)) - 1 if num_events[1:].any() else 0


def same_weekday(num_before: int) -> Sequence[int]:
    """Numbers of the windows of the same weekday among so many before the newest one."""
    return range(WEEK, num_before + 1, WEEK)
