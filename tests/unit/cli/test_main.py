"""The command line as a whole: every command is there, helps, and fails in one sentence."""

import subprocess
import sys

import pytest

from services.cli.main import COMMANDS, build_app, run
from services.domain.errors import InvalidSettings, NightjarError, NotRunning


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_every_command_helps_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run([name, "--help"])
    assert exit_.value.code == 0
    assert "Example" in capsys.readouterr().out


def test_the_overview_names_every_command_and_opens_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["--help"])
    shown = capsys.readouterr().out
    assert "nightjar demo" in shown
    assert all(command.name in shown for command in COMMANDS)


@pytest.mark.parametrize("arguments", [["recommend"], ["teleport"], ["recommend", "42", "--k", "many"]])
def test_a_misuse_exits_with_2_and_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(arguments)
    assert exit_.value.code == 2
    assert "Usage" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "status"), [(NotRunning("Start it."), 1), (InvalidSettings("Mend it."), 2)])
def test_an_error_is_one_sentence(
    error: NightjarError, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(_asked: str | None) -> None:
        raise error

    monkeypatch.setattr("services.cli.main.build_app", failing)
    with pytest.raises(SystemExit) as exit_:
        run(["status"])
    assert exit_.value.code == status
    assert capsys.readouterr().err == f"nightjar: {error}\n"


def test_help_loads_neither_databases_nor_brokers() -> None:
    """Otherwise a newcomer waits seconds for a list of commands."""
    heavy = {"sqlalchemy", "kafka", "redis", "grpc", "deltalake", "pyarrow", "torch", "apscheduler"}
    code = "import sys, services.cli.main as m; m.build_app(None); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert heavy.isdisjoint(loaded)


def test_a_command_that_is_asked_for_is_the_real_one() -> None:
    (up,) = [command for command in build_app("up").registered_commands if command.name == "up"]
    assert up.callback is not None
    assert up.callback.__module__ == "services.cli.stack"
