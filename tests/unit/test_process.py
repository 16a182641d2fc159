"""What long-running processes share: they stop on a signal, and say whole or not at all that they are ready."""

import json
import os
import signal
from pathlib import Path

from services.process import announce_ready, stop_on_signals


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


def test_the_ready_file_appears_whole_and_alone(tmp_path: Path) -> None:
    announce_ready(tmp_path / "ready.json", port=5)
    assert [path.name for path in tmp_path.iterdir()] == ["ready.json"]
    assert json.loads((tmp_path / "ready.json").read_text()) == {"port": 5}
