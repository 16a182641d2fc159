"""Work that gives way to the requests: threads that the system lets run when no other wants the core.

Measured by `python -m benchmarks.swap` on two cores: while a model loads the median latency was 4.1 ms instead of 1.8
with threads like any other, and 2.7 ms with these.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

NICENESS: Final = 10
"""Larger: a thread that holds the interpreter's lock may be kept waiting with it; smaller: requests feel more."""
NUM_THREADS: Final = 2
"""A trial whose bundle lies on a disk that hangs must not keep a swap. Larger: memory that no model gives back."""


def gentle_threads() -> ThreadPoolExecutor:
    """An executor whose threads step back as they begin; for good, since without privileges none steps forward."""
    return ThreadPoolExecutor(NUM_THREADS, "gentle", initializer=_step_back)


def _step_back() -> None:
    own = threading.get_native_id()
    with suppress(OSError, AttributeError):  # where threads have no priority of their own, they work like any other
        os.setpriority(os.PRIO_PROCESS, own, max(os.getpriority(os.PRIO_PROCESS, own), NICENESS))
