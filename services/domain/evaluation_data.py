"""A data set of a paper or of one's own, as the protocols of `nightjar evaluate` read it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from services.domain.event_columns import Words
from services.domain.ids import ItemId


@dataclass(frozen=True)
class EvaluationData:
    """Interactions in the stored order of each user, user after user, and what is known of the items."""

    users: Words
    items: Words
    times_s: npt.NDArray[np.int64]
    """(num_events,) seconds since the epoch; where the data has no times, an event's place in its user's history."""
    is_test: npt.NDArray[np.bool_] | None = None
    """(num_events,) the data's own split; None where it has none."""
    features: Mapping[ItemId, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times_s)

    @property
    def has_times(self) -> bool:
        """False where the times are places: no data is from the first three years of 1970's epoch."""
        return len(self) > 0 and int(self.times_s.max()) >= 10**8
