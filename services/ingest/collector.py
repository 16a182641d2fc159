"""Python's cycle collector in a writer process: nothing here makes cycles, and looking for them took a fifth of it."""

import gc
from typing import Final

# New containers before a look. Larger: cycles that a library makes live longer; smaller: each of the 50,000 rows that
# wait for their commit is visited dozens of times.
_NEW_OBJECTS: Final = 200_000


def collect_rarely() -> None:
    """For the whole process; what is there already is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, 20, 100)
