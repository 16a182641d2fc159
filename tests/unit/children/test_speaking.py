"""A child is heard to its last word, and is gone when it is no longer followed. More: training's own tests."""

import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.children.speaking import Cause, ChildEnd, run_speaking
from tests.waiting import wait_until


def run(script: str, heard: list[Mapping[str, Any]], timeout_s: float = 30.0) -> ChildEnd:
    return run_speaking([sys.executable, "-c", script], heard.append, timeout_s=timeout_s)


def test_every_line_is_heard_in_order_also_one_without_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[Mapping[str, Any]] = []
    script = """
import sys
print('{"number": 1}'); print("no JSON"); sys.stdout.flush()
sys.stdout.buffer.write(b'{"text": "\\xff"}\\n{"number": 2}')
sys.stderr.write("a warning\\n\\nthe last word")
sys.exit(3)
"""
    end = run(script, heard)
    assert heard == [{"number": 1}, {}, {"text": "\ufffd"}, {"number": 2}]
    assert (end.cause, end.status, end.last_line, end.last_words) == (Cause.ENDED, 3, {"number": 2}, "the last word")
    assert end.sentence_end == "ended with status 3"
    assert capsys.readouterr().err == "a warning\n\nthe last word\n"


def test_a_child_that_falls_silent_is_still_followed() -> None:
    end = run("import os; os.close(1); os.close(2); os.kill(os.getpid(), 15)", [])
    assert (end.cause, end.status) == (Cause.ENDED, -signal.SIGTERM)
    assert end.sentence_end == "was ended by SIGTERM"
    assert run("import os, time; os.close(1); os.close(2); time.sleep(600)", [], 1.0).cause is Cause.TIMED_OUT


def test_its_log_goes_where_it_is_told(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        run_speaking([sys.executable, "-c", "import sys; sys.stderr.write('hm')"], lambda _: None, log=log)
    assert (tmp_path / "log").read_text() == "hm"


def test_whatever_the_listener_raises_the_child_and_its_children_are_gone() -> None:
    family: list[psutil.Process] = []

    def refuse(said: Mapping[str, Any]) -> None:
        child = psutil.Process(said["pid"])
        family.extend([child, *child.children(recursive=True)])
        raise KeyboardInterrupt

    script = """
import json, os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(json.dumps({"pid": os.getpid()}), flush=True); time.sleep(600)
"""
    with pytest.raises(KeyboardInterrupt):
        run_speaking([sys.executable, "-c", script], refuse)
    assert len(family) >= 2
    wait_until(lambda: not any(each.is_running() and each.status() != "zombie" for each in family))
