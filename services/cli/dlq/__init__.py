"""`nightjar dlq`: the records no writer could use, why, and how they are sent again. One module a command."""

import typer

from services.cli.dlq.listing import list_letters, show
from services.cli.dlq.purge import purge
from services.cli.dlq.replay import replay

app = typer.Typer(
    no_args_is_help=True,
    help="""Dead letters: records that no writer could use, kept with the reason.

    Example: `nightjar dlq list`, then `nightjar dlq show ID`, then `nightjar dlq replay ID --set type=view`.""",
)
app.command("list")(list_letters)
app.command("show")(show)
app.command("replay")(replay)
app.command("purge")(purge)
