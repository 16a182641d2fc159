"""The `nightjar` command: which commands there are, and how errors become one sentence and an exit code.

A command's module is imported only when that command is asked for, so that `nightjar status` does not wait for what
`nightjar demo` needs. Exit codes: 0 done, 1 failed, 2 misused (wrong arguments or settings), 130 interrupted.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Final

import typer

from services import interrupts
from services.domain.errors import InvalidRequest, InvalidSettings, NightjarError


@dataclass(frozen=True, slots=True)
class Command:
    """A command or a group of commands, and where it is defined."""

    name: str
    module: str
    attribute: str
    summary: str


COMMANDS: Final = (
    Command("demo", "services.cli.demo", "demo", "See everything at once, on real events, in about three minutes."),
    Command("up", "services.cli.stack", "up", "Start the stack and all services; Ctrl-C stops everything."),
    Command("down", "services.cli.stack", "down", "Stop the stack of this home."),
    Command("status", "services.cli.stack", "status", "Show what runs, and where."),
    Command("doctor", "services.cli.stack", "doctor", "Say what this machine lacks, or what runs, and the cure."),
    Command("recommend", "services.cli.recommend", "recommend", "Ask for a user's recommendations."),
    Command("events", "services.cli.events", "app", "Send events, watch them come, send them again."),
    Command("ingest", "services.cli.ingest", "app", "How far the writers are, and what became of the records."),
    Command("dlq", "services.cli.dlq", "app", "The records no writer could use: look, mend, send again."),
    Command("features", "services.cli.features", "app", "What Redis holds for serving: see it, make it again."),
    Command("log", "services.cli.event_log", "app", "The offline log: what it holds, and its housekeeping."),
    Command("data", "services.cli.data", "app", "Whether the log is fit to train on."),
    Command("train", "services.cli.train", "train", "Train a model on the log; it goes live if it passes the gate."),
    Command("tune", "services.cli.tune", "tune", "Search better settings for a model kind; changes nothing by itself."),
    Command(
        "evaluate", "services.cli.evaluate", "evaluate", "Measure a model kind on a data set, as published tables do."
    ),
    Command("runs", "services.cli.runs", "runs", "How training runs go: the present one, and the last ones."),
    Command("models", "services.cli.models", "app", "List, promote and roll back models."),
    Command("schedule", "services.cli.schedule", "app", "See the nightly run, or start one now."),
    Command("nights", "services.cli.nights", "app", "What the nights did, step by step; go on with one."),
)

HELP: Final = """Event-driven recommendations, retrained every night.

Example: `nightjar demo` shows everything at once. `nightjar up` starts the system and keeps it running; then
`nightjar recommend 42` answers."""


def build_app(asked: str | None) -> typer.Typer:
    """The whole command line, with only the module of the asked command imported."""
    app = typer.Typer(
        name="nightjar",
        help=HELP,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in COMMANDS:
        target = getattr(import_module(command.module), command.attribute) if command.name == asked else _not_asked
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=command.name)
        else:
            app.command(command.name, help=command.summary if target is _not_asked else None)(target)
    return app


def run(arguments: Sequence[str] | None = None) -> None:
    """The entry point: runs a command and turns what it raises into a sentence on standard error and an exit code."""
    interrupts.never_lost()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        build_app(next((word for word in given if not word.startswith("-")), None))(given)
    except (InvalidSettings, InvalidRequest) as error:
        _fail(str(error), status=2)
    except NightjarError as error:
        _fail(str(error), status=1)
    except KeyboardInterrupt:  # while a module is imported; within a command Typer exits with 130 itself
        _fail("Stopped.", status=130)


def _not_asked() -> None:
    """Stands in help for a command whose module is not imported; never called."""


def _fail(sentence: str, *, status: int) -> None:
    sys.stderr.write(f"nightjar: {sentence}\n")
    sys.exit(status)


if __name__ == "__main__":
    run()
