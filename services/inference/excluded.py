"""What may not be in an answer: flags that many requests share, and a few rows of one request's own."""

from dataclasses import dataclass
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.int64]
Vector: TypeAlias = npt.NDArray[np.float32]
Flags: TypeAlias = npt.NDArray[np.bool_]
"""One for each item row, (num_items + 1,); row 0 is no item's, and its flag is false."""

NO_ROWS: Final[Rows] = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Item rows, in two parts, so that what is the same for everybody is worked out once and never copied.

    flags: read only; None: none is flagged. num_flagged: how many are. rows: different ones, any order, none flagged.
    """

    rows: Rows
    flags: Flags | None = None
    num_flagged: int = 0

    @classmethod
    def of(cls, rows: Rows, flags: Flags | None = None, num_flagged: int = 0) -> Self:
        """As the constructor, but the rows, each once, may be flagged."""
        return cls(rows if flags is None else rows[~flags[rows]], flags, num_flagged)

    def __len__(self) -> int:
        """How many items are excluded."""
        return self.num_flagged + len(self.rows)

    def and_row(self, row: int) -> "Excluded":
        """The same and one more."""
        return Excluded.of(np.union1d(self.rows, [row]), self.flags, self.num_flagged)

    def hide(self, scores: Vector) -> None:
        """Writes -inf over the scores (num_items,) of what is excluded."""
        if self.flags is not None:
            np.putmask(scores, self.flags[1:], -np.inf)
        scores[self.rows - 1] = -np.inf

    def among(self, rows: Rows) -> npt.NDArray[np.bool_]:
        """Which of these rows, in any order, are excluded."""
        found: npt.NDArray[np.bool_] = np.isin(rows, self.rows)
        if self.flags is not None:
            found |= self.flags[rows]
        return found


NOTHING: Final = Excluded(NO_ROWS)
