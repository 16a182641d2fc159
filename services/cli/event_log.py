"""`nightjar log`: the offline log's size and age, and its housekeeping at once."""

import json
import threading
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from deploy.embedded.state import connected
from services import logs
from services.domain.errors import NotRunning
from services.domain.ids import UserId
from services.domain.log_keeping import LogFacts
from services.domain.runs import RunState
from services.housekeeping.finding import Found
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
    """Does now what the scheduler does every night: erased users, retention, small files, old versions, old models.

    Safe beside running writers and training. What models that can be rolled back to were trained on stays readable, and
    so do those models, the newest ones, and pinned ones: `nightjar models pin`.

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


@app.command("find-user")
def find_user(
    user: Annotated[str, typer.Argument(help="The user's id.")],
    as_json: Json = False,
) -> None:
    """Says what is kept of a user who asked to be forgotten: in any file of the log, of any version, and in Redis.

    Counts what they did until they asked, or all they did when they never asked. Ends with 1 when anything is left of
    somebody who asked. Reads two columns of every file. Dead letters and the events topic are not looked at: they
    expire by themselves.

    Example: nightjar log find-user ada --json
    """
    from services.housekeeping.wiring import find_user

    settings = _settings()
    found = find_user(settings, UserId(user))
    document = asdict(found) | {"is_forgotten": found.is_forgotten}
    typer.echo(json.dumps(document) if as_json else _told(found))
    if found.request_time_us is not None and not found.is_forgotten:
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


def _told(found: Found) -> str:
    if found.request_time_us is None:
        asked, what = "never; what follows is all that is kept", "events"
    else:
        moment = datetime.fromtimestamp(found.request_time_us / 1_000_000, UTC).isoformat(timespec="seconds")
        asked, what = f"{moment}, {'not fulfilled yet' if found.is_open else 'fulfilled'}", "events of before"
    log = found.log
    online = (
        "not looked at, no Redis is set up" if found.num_online is None else f"{found.num_online:,} entries and items"
    )
    return "\n".join(
        (
            f"Asked to be forgotten: {asked}",
            f"Log:          {log.num_events_now:,} {what}, and {log.num_events_before:,} in files of older versions",
            f"Unreadable:   {log.num_files_unreadable:,} files, which may hold anybody",
            f"Redis:        {online}",
            f"Attributes:   {'kept' if found.has_attributes else 'none'}",
        )
    )


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Without the users' names: the report may be kept for longer than they."""
    for wishes in ("pending", "seen"):
        document["cleaned"][wishes] = len(document["cleaned"][wishes])
    return document
