"""`nightjar events export`: events of the offline log into a file."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from services import logs
from services.cli.moments import moment_of
from services.domain.errors import InvalidRequest
from services.domain.event_selection import Selection
from services.settings import load


def export_file(
    out: Annotated[Path, typer.Option(help="The file; one that exists is replaced.")],
    since: Annotated[
        str | None, typer.Option(help="From this event time on, ISO 8601 or an age such as 7d. Unset: from the first.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Before this event time, ISO 8601 or an age. Unset: to the last.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="The log's version, as a model names it. Unset: the newest.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Fields, separated by commas. Unset: all of the contract.")
    ] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="parquet, csv or jsonl. Unset: as the name ends.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a sentence.")] = False,
) -> None:
    """Writes events of the log into a file, in time order. `nightjar events import` reads it as it is.

    Example: nightjar events export --out january.parquet --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z
    """
    from services.adapters.delta_log import DeltaEventLog  # a second of imports that --help spares
    from services.adapters.delta_log.reading import scan
    from services.adapters.delta_log.rows import SCHEMA
    from services.ingest.exporting import LOG_NAMES, export
    from services.ingest.importing.mapping import FIELDS
    from services.ingest.importing.sources import format_of

    if version is not None and version < 0:
        raise InvalidRequest("--version", f"{version} is none; they count from 0, and `nightjar log status` shows them")
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    chosen = format_of(out, format_name)
    names = FIELDS if columns is None else tuple(name.strip() for name in columns.split(","))
    in_log = [LOG_NAMES.get(name, name) for name in names]
    unknown = sorted(set(in_log) - set(SCHEMA.names))
    if unknown or len(set(names)) < len(names):
        raise InvalidRequest(
            "--columns", f"does not know {', '.join(unknown)}" if unknown else "names a field more than once"
        )
    now = datetime.now(UTC)
    selection = Selection(
        since_us=None if since is None else _us(moment_of("--since", since, now)),
        until_us=None if until is None else _us(moment_of("--until", until, now)),
    )
    pinned = DeltaEventLog(settings.log_folder).version() if version is None else version
    with Progress(
        SpinnerColumn(), TextColumn("{task.completed:,} events"), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("export", total=None)
        try:
            num_events = export(
                scan(settings.log_folder, pinned, selection, in_log), out, chosen, lambda rows: bar.advance(task, rows)
            )
        except OSError as error:
            raise InvalidRequest("--out", f"{str(out)!r} cannot be written: {error}") from error
    document = {"file": str(out), "events": num_events, "log_version": pinned}
    typer.echo(json.dumps(document) if as_json else f"{out}: {num_events} events of log version {pinned}.")


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)
