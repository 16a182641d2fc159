"""`nightjar models pin` and `unpin`: which versions clean-up keeps, whatever their age."""

import getpass
import json
import os
from typing import Annotated

import typer

from services import logs
from services.domain.ids import ModelVersion
from services.registry import pinning
from services.settings import load

Version = Annotated[str, typer.Argument(help="Which version, as `nightjar models list` shows it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


def pin(
    version: Version,
    reason: Annotated[str, typer.Option(help="Why it is kept. Required; at most 1,024 bytes.")],
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Keeps a version's bundle, and the data it was trained on, until it is unpinned. Repeating it changes the reason.

    Erasure is stronger than a pin: a version of the log with an erased user is given up all the same.

    Example: nightjar models pin VERSION --reason "the audit of March rests on it"
    """
    from services.registry.wiring import open_registry  # a second of imports that --help spares

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    model = pinning.pin(open_registry(settings), ModelVersion(version), actor(), reason, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "version": model.version, "pinned": True, "reason": reason}))
    else:
        typer.echo(f"{model.version} {'would be' if dry_run else 'is'} pinned: {reason}")


def unpin(version: Version, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Lets a pinned version age as others do. Repeating it changes nothing.

    Example: nightjar models unpin VERSION
    """
    from services.registry.wiring import open_registry  # a second of imports that --help spares

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    before = pinning.unpin(open_registry(settings), ModelVersion(version), actor(), dry_run=dry_run)
    if as_json:
        document = {
            "dry_run": dry_run,
            "version": before.version,
            "pinned": False,
            "was_pinned": before.pin is not None,
        }
        typer.echo(json.dumps(document))
    elif before.pin is None:
        typer.echo(f"{before.version} was not pinned; nothing {'would change' if dry_run else 'changed'}.")
    else:
        typer.echo(f"{before.version} {'would be' if dry_run else 'is'} no longer pinned ({before.pin.reason}).")


def actor() -> str:
    """Who runs this command, for the registry."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        return f"uid-{os.getuid()}"
