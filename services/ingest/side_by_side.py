"""Several writers in one process, each with a loop and a consumer of its own, so that none holds up another."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait


def run_side_by_side(loops: Sequence[Callable[[], None]], stop: threading.Event) -> None:
    """Blocks until every loop has ended. When one fails the others are told to stop, and its error is raised."""
    with ThreadPoolExecutor(len(loops)) as threads:
        running = [threads.submit(loop) for loop in loops]
        wait(running, return_when=FIRST_EXCEPTION)
        stop.set()
    for ended in running:
        ended.result()


class AfterAll:
    """Calls `then` at the last of `num_calls` calls; from any thread."""

    def __init__(self, num_calls: int, then: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._missing = num_calls
        self._then = then

    def __call__(self) -> None:
        with self._lock:
            self._missing -= 1
            is_last = self._missing == 0
        if is_last:
            self._then()
