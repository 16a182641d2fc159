"""`nightjar ingest`: how the way in is doing. One module a command."""

import typer

from services.cli.ingest.status import status

app = typer.Typer(
    no_args_is_help=True,
    help="""The way in: how far the writers are, and what became of the records.

    Example: `nightjar ingest status`.""",
)
app.command("status")(status)


@app.callback()
def _group() -> None:
    """Keeps `status` a subcommand while it is the only one."""
