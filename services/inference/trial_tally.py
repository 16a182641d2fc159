"""What a worker counts of one trial: how both sides of a canary answer, or how like a shadow's lists are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from services.domain.trials import Likeness, TrialFigures
from services.domain.vitals import VitalsCounter


class TrialTally:
    """Since this worker has the trial's model. `trial`, `live`: of its users and of the others."""

    def __init__(self) -> None:
        self.trial, self.live = VitalsCounter(), VitalsCounter()
        self._likeness = Likeness()

    def compared(self, overlap: float | None) -> None:
        """A shadow's list was held against the one returned. None: that was empty, so there was nothing to be like."""
        if overlap is not None:
            self._likeness += Likeness(num_compared=1, overlap_sum=overlap)

    def dropped(self) -> None:
        """A request that the shadow was not asked."""
        self._likeness += Likeness(num_dropped=1)

    @property
    def now(self) -> TrialFigures:
        return TrialFigures(self.trial.now, self.live.now, self._likeness)


@contextmanager
def counted(counter: VitalsCounter | None) -> Iterator[None]:
    """Counts what is done within, with its time; a caller who went away is no call at all."""
    if counter is None:
        yield
        return
    start = time.perf_counter()
    try:
        yield
    except Exception:
        counter.call(time.perf_counter() - start, failed=True)
        raise
    counter.call(time.perf_counter() - start, failed=False)
