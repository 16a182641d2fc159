"""What long-running processes share: they stop on a signal."""

import os
import signal

from services.process import stop_on_signals


def test_sigterm_and_sigint_ask_the_process_to_stop() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        for number in before:
            stop = stop_on_signals()
            assert not stop.is_set()
            os.kill(os.getpid(), number)
            assert stop.wait(5)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
