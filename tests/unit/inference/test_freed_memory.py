"""Memory that was freed goes back to the system."""

import threading

import numpy as np
import psutil
import pytest

from services.inference import freed_memory
from services.inference.freed_memory import give_back

SMALL_BYTES = 64 * 1024  # below glibc's threshold for a mapping of its own, so that it stays in an arena


@pytest.mark.skipif(freed_memory._TRIM is None, reason="another C library than glibc")
def test_what_a_thread_freed_is_given_back() -> None:
    """A table of small pieces below one that stays: the arena cannot shrink by itself."""
    process, kept = psutil.Process(), list[np.ndarray]()

    def load() -> None:
        pieces = [np.ones(SMALL_BYTES, np.uint8) for _ in range(1_600)]  # 100 MiB
        kept.append(np.ones(SMALL_BYTES, np.uint8))
        del pieces

    loading = threading.Thread(target=load)
    loading.start()
    loading.join()
    before = process.memory_info().rss
    give_back()
    assert before - process.memory_info().rss > 50 * 2**20


def test_without_such_a_call_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freed_memory, "_TRIM", None)
    give_back()
