"""The `nightjar` command: one module a group of commands; errors become one sentence and an exit code.

Exit codes: 0 done, 1 failed, 2 misused (wrong arguments or settings), 130 interrupted.
"""

import sys

import click
import typer

from services.cli import demo, events, models, recommend, schedule, stack, train
from services.domain.errors import InvalidRequest, InvalidSettings, NightjarError

app = typer.Typer(
    name="nightjar",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Event-driven recommendations, retrained every night.

    Example: `nightjar demo` shows everything at once, in about three minutes. `nightjar up` starts the system and
    keeps it running; then `nightjar recommend 42` answers.""",
)
stack.add_to(app)
recommend.add_to(app)
train.add_to(app)
demo.add_to(app)
app.add_typer(events.app, name="events")
app.add_typer(models.app, name="models")
app.add_typer(schedule.app, name="schedule")


def run() -> None:
    """The entry point: runs a command and turns what it raises into a sentence on standard error and an exit code."""
    try:
        status = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (InvalidSettings, InvalidRequest) as error:
        _fail(str(error), status=2)
    except NightjarError as error:
        _fail(str(error), status=1)
    except (KeyboardInterrupt, click.Abort):
        _fail("Stopped.", status=130)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(sentence: str, *, status: int) -> None:
    sys.stderr.write(f"nightjar: {sentence}\n")
    sys.exit(status)


if __name__ == "__main__":
    run()
