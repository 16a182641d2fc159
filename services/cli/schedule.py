"""`nightjar schedule`: when the next night is, how the last ones went, and one at once."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.cli.terminal import cell
from services.domain.runs import Run, RunState
from services.settings import Settings, load

app = typer.Typer(
    no_args_is_help=True,
    help="""The nightly run: when it comes, and how the last ones went.

    Example: `nightjar schedule run-now --wait` trains, judges and promotes at once.""",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command("list")
def list_schedule(
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many past runs at most, newest first.")] = 10,
) -> None:
    """Says when the next night starts, in its time zone, and how the last ones ended.

    Example: nightjar schedule list --limit 3
    """
    from scheduler.wiring import onlooker  # a second of imports that other commands spare

    settings = _settings()
    with onlooker(settings) as parts:
        planned = parts.desk.planned()
        runs = parts.runs.newest(limit)
    next_time = planned.next_time
    schedule = settings.schedule
    if as_json:
        document = {
            "nightly_cron": schedule.nightly_cron,
            "time_zone": schedule.time_zone,
            "next_run_time": None if next_time is None else next_time.isoformat(),
            "paused": planned.paused,
            "runs": [_document(run) for run in runs],
        }
        typer.echo(json.dumps(document))
        return
    when = "none: no scheduler has run on this database yet; start one with `nightjar up`"
    if planned.paused:
        when = "none: the nights are paused; `nightjar schedule resume` ends that"
    if next_time is not None:
        when = f"{next_time:%Y-%m-%d %H:%M %Z} (cron {schedule.nightly_cron!r}, {schedule.time_zone})"
    typer.echo(f"Next night: {when}")
    if runs:
        Console().print(_table(list(runs)))


@app.command("run-now")
def run_at_once(
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run to its end; exit code 1 unless its model is live then.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Starts a night at once in the running scheduler; one that is going on already is joined, not doubled.

    Example: nightjar schedule run-now --wait
    """
    from scheduler import run_now  # a second of imports that other commands spare
    from scheduler.wiring import onlooker

    with onlooker(_settings()) as parts:
        run = parts.desk.run_now()
        if wait:
            run = run_now.follow(parts.runs, run)
    if as_json:
        typer.echo(json.dumps(_document(run)))
    else:
        typer.echo(f"Run {run.run_id}: {run.state.value}. {run.detail}".rstrip())
    if wait and run.state is not RunState.SUCCEEDED:
        raise typer.Exit(1)


@app.command("pause")
def pause() -> None:
    """No night starts by itself any more, until `resume`; one that is going on goes on, and run-now still works.

    Example: nightjar schedule pause
    """
    from scheduler.wiring import onlooker

    with onlooker(_settings()) as parts:
        parts.desk.pause_nights()
    typer.echo("The nights are paused; `nightjar schedule resume` ends that.")


@app.command("resume")
def resume() -> None:
    """Nights start by themselves again, the next one at its next time.

    Example: nightjar schedule resume
    """
    from scheduler.wiring import onlooker

    with onlooker(_settings()) as parts:
        parts.desk.resume_nights()
        next_time = parts.desk.planned().next_time
    typer.echo(f"Next night: {next_time:%Y-%m-%d %H:%M %Z}")


@app.command("job-manifest")
def job_manifest(
    challenger: Annotated[str, typer.Option(help="Whose training, of NIGHTJAR_SCHEDULE__CHALLENGERS.")] = "nightly",
    night: Annotated[int, typer.Option(min=1, help="The number of the night.")] = 1,
    data_version: Annotated[int, typer.Option(min=0, help="The version of the log to train on.")] = 0,
) -> None:
    """Prints the Kubernetes Job that a night would apply to train a challenger, as YAML; applies nothing.

    In a night the number and the data version are its own, and the name ends in a digest of the night's start.

    Example: NIGHTJAR_KUBERNETES__IMAGE=registry.example/nightjar:1 nightjar schedule job-manifest
    """
    from scheduler.launchers.showing import shown_manifest  # its imports are slow, as above

    settings = load()
    typer.echo(shown_manifest(settings, challenger, night, data_version), nl=False)


def _settings() -> Settings:
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    return connected(settings)


def _document(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "trigger": run.trigger,
        "state": run.state.value,
        "start_time": run.start_time.isoformat(),
        "end_time": None if run.end_time is None else run.end_time.isoformat(),
        "version": run.version,
        "detail": run.detail,
    }


def _table(runs: list[Run]) -> Table:
    table = Table("run", "kind", "trigger", "started (UTC)", "took", "state", "version", "detail")
    for run in runs:
        took = "–" if run.end_time is None else f"{(run.end_time - run.start_time).total_seconds():.0f} s"
        started = f"{run.start_time:%Y-%m-%d %H:%M:%S}"
        state, version = run.state.value, run.version or "–"
        table.add_row(str(run.run_id), run.kind, run.trigger, started, took, state, version, cell(run.detail))
    return table
