"""`nightjar up`, `status` and `down` on the whole system, and `up` in the foreground."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import typer
from typer.testing import CliRunner

from deploy.embedded import background, demo_marker, state
from deploy.embedded.services import SERVICES, environment
from services.cli import stack
from services.domain.errors import StartFailed
from services.settings import Settings, load
from tests.waiting import wait_until

NO_PORTS = {"serve": {"port": 0}, "gateway": {"port": 0}}

FOREGROUND = '''
import sys
from rich.console import Console
from deploy.embedded import foreground
from services.settings import load
talker = """
import pathlib, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
print("hello from the part", flush=True)
signal.sigwait([signal.SIGUSR1])
pathlib.Path(sys.argv[-1]).touch()
signal.pause()
"""
foreground.run(
    load(),
    on_ready=lambda stack: print("all is ready", flush=True),
    console=Console(stderr=True),
    programs={"talker": ("-c", talker)},
)
'''


@pytest.fixture
def nightjar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """The commands of the stack, in a home of their own."""
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NIGHTJAR_SERVE__PORT", "0")
    monkeypatch.setenv("NIGHTJAR_GATEWAY__PORT", "0")
    app = typer.Typer()
    for command in (stack.up, stack.down, stack.status, stack.doctor):
        app.command()(command)
    return app


@pytest.mark.kafka
@pytest.mark.timeout(300)
def test_up_status_and_down_in_the_background(nightjar: typer.Typer) -> None:
    runner = CliRunner()
    home = load().home_folder
    try:
        started = runner.invoke(nightjar, ["up", "--detach"], catch_exceptions=False)
        assert started.exit_code == 0
        known = state.read(home)

        shown = runner.invoke(nightjar, ["status", "--json"])
        assert shown.exit_code == 0, shown.output
        report = json.loads(shown.stdout)
        states = {part["name"]: part["state"] for part in report["parts"]}
        assert states == dict.fromkeys(("kafka", "valkey", *SERVICES), "running")
        assert all(part["pid"] and part["uptime_s"] > 0 for part in report["parts"])
        serve_port = state.connected(load()).serve.port
        socket.create_connection(("127.0.0.1", serve_port), timeout=10).close()
        with pytest.raises(StartFailed, match="already running"):
            background.start(load())
        assert runner.invoke(nightjar, ["status"]).exit_code == 0  # the running one was left alone
        everything = _family(known)
    finally:
        stopped = runner.invoke(nightjar, ["down"], catch_exceptions=False)
    assert stopped.exit_code == 0
    assert not [process for process in everything if process.is_running()]
    assert runner.invoke(nightjar, ["status", "--json"]).exit_code == 1
    assert runner.invoke(nightjar, ["down"], catch_exceptions=False).exit_code == 0  # may be repeated


def test_a_start_in_the_background_that_fails_says_why_in_one_sentence(
    nightjar: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setenv("NIGHTJAR_SERVE__PORT", str(port))
        result = CliRunner().invoke(nightjar, ["up", "--detach"])
    assert isinstance(result.exception, StartFailed)
    assert (
        str(result.exception) == f"Port {port} is in use by another program; set NIGHTJAR_SERVE__PORT to another one."
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.kafka
@pytest.mark.redis
def test_a_signal_ends_the_foreground_in_order(
    number: signal.Signals, tmp_path: Path, kafka_servers: str, redis_url: str
) -> None:
    """On a Kafka and a Redis of one's own: neither is started. What a part logs is shown while it still starts, and
    a home that a demo made is its user's from then on.
    """
    own = {"kafka": {"bootstrap_servers": kafka_servers}, "redis": {"url": redis_url}}
    settings = Settings.model_validate({"home": tmp_path / "home", **NO_PORTS, **own})
    settings.home_folder.mkdir()
    demo_marker.write(settings.home_folder)
    with _foreground(settings, tmp_path / "shown") as (process, shown):
        wait_until(lambda: "talker │ hello from the part" in shown.read_text(), timeout_s=60, what="the part's line")
        assert "all is ready" not in shown.read_text()
        parts = state.read(settings.home_folder).parts
        assert [part.name for part in parts] == ["talker"]
        os.kill(parts[0].identity.pid, signal.SIGUSR1)  # now it may become ready
        wait_until(lambda: "all is ready" in shown.read_text(), what="all to be ready")
        process.send_signal(number)
        assert process.wait(30) == 0
    assert not any(part.identity.process() for part in parts)
    assert not demo_marker.is_set(settings.home_folder)


@pytest.mark.kafka
@pytest.mark.redis
def test_the_foreground_shows_what_kafka_logs_while_it_starts(tmp_path: Path, redis_url: str) -> None:
    settings = Settings.model_validate({"home": tmp_path / "home", **NO_PORTS, "redis": {"url": redis_url}})
    with _foreground(settings, tmp_path / "shown") as (process, shown):
        wait_until(lambda: "kafka │ " in shown.read_text(), timeout_s=60, what="a line of Kafka's")
        assert "all is ready" not in shown.read_text()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert not any(part.identity.process() for part in state.read(settings.home_folder).parts)


@contextmanager
def _foreground(settings: Settings, shown: Path) -> "Iterator[tuple[subprocess.Popen[bytes], Path]]":
    """The script above as a process, and the file where its output goes; killed after the block if it still runs."""
    with shown.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", FOREGROUND], env=environment(settings), stdout=output, stderr=output
        )
    try:
        yield process, shown
    finally:
        process.kill()
        process.wait()


def _family(known: state.StackState) -> list[psutil.Process]:
    assert known.supervisor is not None
    supervisor = psutil.Process(known.supervisor.pid)
    return [supervisor, *supervisor.children(recursive=True)]
