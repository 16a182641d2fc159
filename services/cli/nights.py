"""`nightjar nights`: what the nights did, step by step, and one at once, or gone on with."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.cli.schedule import run_at_once
from services.cli.terminal import cell
from services.domain.errors import InvalidRequest
from services.domain.nights import StepRow
from services.domain.runs import Run, RunState
from services.settings import Settings, load

app = typer.Typer(
    no_args_is_help=True,
    help="""The nights: what each step did, why a night went as it did, and how to go on with it.

    Example: `nightjar nights show` tells the newest one.""",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
NightId = Annotated[int | None, typer.Argument(help="A night's number, as `nightjar nights list` shows it.")]
STYLES = {
    RunState.RUNNING: "bold",
    RunState.SUCCEEDED: "green",
    RunState.REFUSED: "yellow",
    RunState.FAILED: "red",
    RunState.TIMED_OUT: "red",
}

app.command("run-now")(run_at_once)


@app.command("list")
def list_nights(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many nights at most, newest first.")] = 10,
    as_json: Json = False,
) -> None:
    """Lists the newest nights and how they ended.

    Example: nightjar nights list --limit 3
    """
    from scheduler.wiring import onlooker  # a second of imports that other commands spare

    with onlooker(_settings()) as parts:
        nights = parts.desk.newest(limit)
    if as_json:
        typer.echo(json.dumps({"nights": [_document(night) for night in nights]}))
    elif not nights:
        typer.echo("No night was yet; `nightjar nights run-now` starts one in the running scheduler.")
    else:
        Console().print(_table(nights))


@app.command("show")
def show(night: NightId = None, as_json: Json = False) -> None:
    """Shows a night's steps with what each one found, and where its report is; the newest night's without a number.

    Example: nightjar nights show 12
    """
    from scheduler.wiring import nights_folder, onlooker

    settings = _settings()
    with onlooker(settings) as parts:
        run = parts.desk.night(night)
        steps = parts.desk.steps(run)
    if as_json:
        typer.echo(json.dumps({**_document(run), "steps": [_step_document(step) for step in steps]}))
        return
    console = Console(highlight=False)
    console.print(f"Night {run.run_id} ({run.trigger}): [{STYLES[run.state]}]{run.state.value}[/]. {cell(run.detail)}")
    console.print(_steps_table(steps))
    report = nights_folder(settings) / str(run.run_id) / "report.md"
    console.print(_next_words(run, steps, report))


@app.command("resume")
def resume(
    night: NightId = None,
    accept: Annotated[
        str, typer.Option(help="Go on although the checks refused the data, for this reason, which is kept.")
    ] = "",
) -> None:
    """Goes on with the newest night at the step that ended it; the running scheduler takes it within seconds.

    What was done is not done again. A night whose data the checks refused goes on only with --accept. A model that the
    gate refused is promoted with `nightjar models promote --override-reason`.

    Example: nightjar nights resume --accept "a public holiday"
    """
    from scheduler.wiring import onlooker

    with onlooker(_settings()) as parts:
        try:
            run = parts.desk.resume(night, f"uid {os.getuid()}", accept)
        except InvalidRequest as error:
            raise InvalidRequest("--accept", error.problem) from error
    typer.echo(
        f"Night {run.run_id} goes on as soon as a scheduler sees it; `nightjar nights show` tells how far it is."
    )


def _settings() -> Settings:
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    return connected(settings)


def _next_words(run: Run, steps: Sequence[StepRow], report: Path) -> str:
    """What to look at next."""
    said = [f"Its report: {report}"] if report.exists() else []
    if run.state is RunState.REFUSED and any(step.name == "check" and not step.state.lets_go_on for step in steps):
        said.append("If the data is right all the same: `nightjar nights resume --accept REASON`.")
    elif run.state in (RunState.FAILED, RunState.TIMED_OUT):
        said.append("Once the cause is gone: `nightjar nights resume` goes on at the step that ended it.")
    return "\n".join(said)


def _document(run: Run) -> dict[str, Any]:
    return {
        "night": run.run_id,
        "trigger": run.trigger,
        "state": run.state.value,
        "start_time": run.start_time.isoformat(),
        "end_time": None if run.end_time is None else run.end_time.isoformat(),
        "version": run.version,
        "detail": run.detail,
    }


def _step_document(step: StepRow) -> dict[str, Any]:
    return {
        "name": step.name,
        "state": step.state.value,
        "attempts": step.attempts,
        "start_time": step.start_time.isoformat(),
        "end_time": None if step.end_time is None else step.end_time.isoformat(),
        "inputs": step.inputs,
        "outputs": step.outputs,
        "detail": step.detail,
        "log": step.log.splitlines(),
    }


def _table(nights: Sequence[Run]) -> Table:
    table = Table("night", "started (UTC)", "took", "state", "version", "how it ended")
    for run in nights:
        took = "–" if run.end_time is None else f"{(run.end_time - run.start_time).total_seconds():.0f} s"
        state = f"[{STYLES[run.state]}]{run.state.value}[/]"
        started = f"{run.start_time:%Y-%m-%d %H:%M}"
        table.add_row(str(run.run_id), started, took, state, run.version or "–", cell(run.detail))
    return table


def _steps_table(steps: Sequence[StepRow]) -> Table:
    from scheduler.telling import found, took

    table = Table("step", "state", "attempts", "took", "what it found")
    for step in steps:
        table.add_row(step.name, step.state.value, str(step.attempts), took(step), cell(step.detail or found(step)))
    return table
