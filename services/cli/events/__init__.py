"""`nightjar events`: events into Kafka, and a look at those that are there. One module a command.

What a command alone needs and is slow to import, it imports itself: `nightjar events send` waits for no Delta Lake.
"""

import typer

from services.cli.events.send import send

app = typer.Typer(
    no_args_is_help=True,
    help="""Events into Kafka.

    Example: `nightjar events send --user 42 --item 50 --type view`.""",
)
app.command("send")(send)


@app.callback()
def _group() -> None:
    """Keeps `send` a subcommand while it is the only one."""
