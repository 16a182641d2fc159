"""`nightjar features`: what Redis holds for serving. One module a command."""

import typer

from services.cli.features.rebuild import rebuild
from services.cli.features.trending import trending

app = typer.Typer(
    no_args_is_help=True,
    help="""What Redis holds for serving: histories, and counters of what is popular and trending.

    Example: `nightjar features trending`, and `nightjar features rebuild` after Redis lost something.""",
)
app.command("rebuild")(rebuild)
app.command("trending")(trending)
