"""`nightjar data`: whether the log is fit to train on."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from services import logs
from services.cli.checking_run import run_check
from services.cli.terminal import cell, printable
from services.settings import load

app = typer.Typer(
    no_args_is_help=True,
    help="""The data that models are trained on.

    Example: `nightjar data check` holds the newest day against those before it.""",
)

_COUNTS: Final = ("volume", "users")
_INDICES: Final = ("type_drift", "popularity_drift")


@app.command("check")
def check(
    data_version: Annotated[
        int | None, typer.Option(min=0, help="Version of the log to check. Unset: the newest.")
    ] = None,
    as_of: Annotated[
        str, typer.Option(help="Check as if it were this ISO date or time, UTC. Later events are from the future.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Holds the newest 24 hours of the log against the 14 days before, and says whether it is fit to train on.

    Exit code 1 when a rule is broken; NIGHTJAR_CHECKS__* bound them. Changes nothing. 20 million events take some 20 s.

    Example: nightjar data check --json
    """
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    console = Console(stderr=True, highlight=False)
    with console.status("reading the log") as status:

        def show(said: Mapping[str, Any]) -> None:
            if said.get("event") == "progress":
                status.update(f"reading the log: {said['num_events']:,} events")

        outcome = run_check(settings, data_version, as_of, show)
    if as_json:
        typer.echo(json.dumps({name: value for name, value in outcome.items() if name != "event"}))
    else:
        Console().print(table(outcome))
        for line in lines(outcome):
            typer.echo(line)
    if not outcome["passed"]:
        raise typer.Exit(1)


def table(outcome: Mapping[str, Any]) -> Table:
    """Narrow enough for 80 characters."""
    shown = Table()
    shown.add_column("rule")
    for name in ("newest day", "usual", "allowed"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("")
    for finding in outcome["findings"]:
        rule = finding["rule"]
        judged = finding["low"] is not None or finding["high"] is not None
        verdict = (
            ("[green]passed[/]" if finding["passed"] else "[bold red]broken[/]") if judged else "[dim]not judged[/]"
        )
        usual = "" if finding["usual"] is None else figure(rule, finding["usual"])
        shown.add_row(cell(rule), figure(rule, finding["figure"]), usual, allowed(finding), verdict)
    return shown


def lines(outcome: Mapping[str, Any]) -> list[str]:
    """What is below the table: each broken rule's sentence, then what it all comes to."""
    broken = [finding for finding in outcome["findings"] if not finding["passed"]]
    events = f"{outcome['num_events']:,} events, newest {outcome['newest_time']}"
    log = f"ersion {outcome['data_version']} of the log ({events})"
    if not broken:
        return [f"No rule is broken: v{log} is fit to train on."]
    said = [f"{printable(finding['rule'])}: {printable(finding['sentence'])}" for finding in broken]
    return [*said, f"V{log} is not fit to train on."]


def figure(rule: str, value: float) -> str:
    """In the unit of its rule: a count, an index, hours, else a share."""
    kind = rule.partition(":")[0]
    if kind in _COUNTS:
        return f"{value:,.0f}"
    if kind in _INDICES:
        return f"{value:.3f}"
    return f"{value:.1f} h" if kind == "freshness" else f"{value:.1%}"


def allowed(finding: Mapping[str, Any]) -> str:
    """Such as "600 to 3,000", "up to 1.0%" or nothing."""
    low, high = (None if finding[end] is None else figure(finding["rule"], finding[end]) for end in ("low", "high"))
    if low is None:
        return "" if high is None else f"up to {high}"
    return f"from {low}" if high is None else f"{low} to {high}"
