"""Stopped at any moment, or misused: one sentence, an exit code, and no process left behind."""

import os
import signal
from pathlib import Path

import pytest

from deploy.embedded import state
from tests.e2e.command import Nightjar
from tests.e2e.test_main_job import DEMO
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(200)]


@pytest.mark.parametrize(
    ("moment", "reached"),
    [
        ("while Kafka starts", lambda home: "kafka" in parts(home)),
        ("while services start", lambda home: "inference" in parts(home)),
        ("while it trains", lambda home: size_bytes(home / "logs" / "training.log") > 0),
    ],
)
def test_ctrl_c_leaves_nothing_behind(nightjar: Nightjar, moment: str, reached: object) -> None:
    demo = nightjar.start(*DEMO)
    try:
        wait_until(lambda: reached(nightjar.home), timeout_s=90, what=moment)  # type: ignore[operator]
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
        output, _ = demo.communicate(timeout=60)
    finally:
        demo.kill()
    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert nightjar.processes() == []


def test_a_port_in_use_is_one_sentence(nightjar: Nightjar, taken_port: int) -> None:
    nightjar.environment["NIGHTJAR_SERVE__PORT"] = str(taken_port)
    try:
        done = nightjar.run("up", "--detach")
    finally:
        nightjar.environment["NIGHTJAR_SERVE__PORT"] = "0"
    assert done.returncode == 1
    assert "NIGHTJAR_SERVE__PORT" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert nightjar.processes() == []


def test_wrong_settings_are_all_listed(nightjar: Nightjar) -> None:
    wrong = {"NIGHTJAR_SERVE__NUM_WORKERS": "0", "NIGHTJAR_TRAIN__DROPOUT": "7"}
    nightjar.environment |= wrong
    try:
        done = nightjar.run("status")
    finally:
        for name in wrong:
            del nightjar.environment[name]
    assert done.returncode == 2
    assert all(name in done.stderr for name in wrong)
    assert "Traceback" not in done.stderr


def test_the_demo_never_touches_a_home_that_is_not_its_own(nightjar: Nightjar, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    command = Nightjar(tmp_path)
    done = command.run(*DEMO)
    assert done.returncode == 2
    assert "no demo made" in done.stderr
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize(
    "arguments", [("recommend", "42"), ("events", "send", "--user", "1", "--item", "2", "--type", "view")]
)
def test_without_a_stack_a_command_says_how_to_start_one(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = Nightjar(tmp_path / "home").run(*arguments)
    assert done.returncode == 1
    assert "nightjar up" in done.stderr
    assert "Traceback" not in done.stderr


def size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def parts(home: Path) -> set[str]:
    return {part.name for part in state.read(home).parts} if (home / state.FILE).is_file() else set()
