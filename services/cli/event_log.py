"""`nightjar log`: the offline log's size and age, and its housekeeping at once."""

import json
import threading
from dataclasses import asdict
from typing import Annotated, Any

import typer

from deploy.embedded.state import connected
from services import logs
from services.domain.errors import NotRunning
from services.domain.log_keeping import LogFacts
from services.domain.runs import RunState
from services.settings import Settings, load

app = typer.Typer(
    no_args_is_help=True,
    help="""The offline log: every event, as training reads it.

    Example: `nightjar log status`.""",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command("status")
def status(as_json: Json = False) -> None:
    """Shows how large the log is, which dates it covers, and which versions it knows.

    Example: nightjar log status --json
    """
    from services.housekeeping.wiring import open_keeper  # a second of imports that --help spares

    facts = open_keeper(_settings()).facts()
    if as_json:
        typer.echo(json.dumps(None if facts is None else asdict(facts)))
    else:
        typer.echo("The log is empty: no event was stored yet." if facts is None else _text(facts))


@app.command("housekeeping")
def housekeeping(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Does now what the scheduler does every night: erased users, retention, small files, old versions.

    Safe beside running writers and training. What models that can be rolled back to were trained on stays readable.

    Example: nightjar log housekeeping --dry-run
    """
    from services.housekeeping.wiring import build

    house = build(_settings(), threading.Event().is_set)
    if dry_run:
        report = house.look()
        typer.echo(json.dumps(_plain(asdict(report))) if as_json else f"Would be done: {report.sentence}")
        return
    run = house.run("run-now")
    if run is None:
        raise NotRunning("Another housekeeping is going on; `nightjar schedule list` shows when it ends.")
    document = {"run_id": run.run_id, "state": run.state.value, "detail": run.detail}
    typer.echo(json.dumps(document) if as_json else run.detail)
    if run.state is not RunState.SUCCEEDED:
        raise typer.Exit(1)


def _settings() -> Settings:
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    return connected(settings, needs=())


def _text(facts: LogFacts) -> str:
    each = f", {facts.size_bytes / facts.num_events:.0f} bytes each" if facts.num_events else ""
    return "\n".join(
        (
            f"Events:   {facts.num_events:,} on {facts.num_dates:,} dates, {facts.first_date} to {facts.last_date}",
            f"Files:    {facts.num_files:,} with {facts.size_bytes / 1e6:,.1f} MB{each}",
            f"On disk:  {facts.disk_bytes / 1e6:,.1f} MB with older versions",
            f"Versions: {facts.oldest_version} to {facts.version}",
        )
    )


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Without the users' names: the report may be kept for longer than they."""
    document["cleaned"]["pending"] = len(document["cleaned"]["pending"])
    return document
