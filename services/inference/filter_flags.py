"""What filters let through, kept for those who ask the same again: flags that requests share and nobody copies."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

from services.inference.excluded import Flags

MAX_BYTES: Final = 32 * 1024 * 1024  # a worker and model. Larger: memory that callers choose; smaller: worked out anew
MIN_KEPT: Final = 4  # whatever their size; larger and smaller: as above


class Flagged(NamedTuple):
    """flags: of what may not be shown, read-only. num_flagged: how many are."""

    flags: Flags
    num_flagged: int


class FilterFlags:
    """The newest asked for, by whatever names a filter and the moment it was asked at. For the event loop."""

    def __init__(self) -> None:
        self._kept = OrderedDict[Hashable, Flagged]()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, work_out: Callable[[], Flags]) -> Flagged:
        """What is kept for the key, or else what `work_out` returns, which is kept then."""
        found = self._kept.get(key)
        if found is None:
            flags = work_out()
            flags.flags.writeable = False
            self._kept[key] = found = Flagged(flags, int(flags.sum()))
            most = max(MIN_KEPT, MAX_BYTES // len(flags))
            while len(self._kept) > most:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found
