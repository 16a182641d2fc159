"""`nightjar demo`: the main job, end to end."""

import typer


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    del app
