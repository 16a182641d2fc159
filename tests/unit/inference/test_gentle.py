"""Loads give way to the requests."""

import os
import sys
import threading

import pytest

from services.inference.gentle import NICENESS, NUM_THREADS, gentle_threads


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_its_threads_step_back_and_no_others() -> None:
    with gentle_threads() as threads:
        niceness = threads.submit(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())).result()
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert niceness == max(own, NICENESS)
    assert own == os.getpriority(os.PRIO_PROCESS, os.getpid())


def test_one_that_hangs_keeps_no_other() -> None:
    assert NUM_THREADS > 1
    may_end = threading.Event()
    with gentle_threads() as threads:
        hanging = threads.submit(may_end.wait, 10)
        assert threads.submit(lambda: "done").result(timeout=10) == "done"
        may_end.set()
    assert hanging.result()
