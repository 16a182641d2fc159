"""`nightjar models reproduce`: a version is trained again, and its figures compared with what they were."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.cli.model_words import json_number, number
from services.cli.terminal import cell
from services.cli.training_run import TRAINING, TrainingProgress, look_at_repetition, run_training
from services.domain.ids import ModelVersion
from services.domain.model_differences import TwoFigures, differences
from services.settings import load


def reproduce(
    version: Annotated[str, typer.Argument(help="Which version, as `nightjar models list` shows it.")],
    tolerance: Annotated[
        float, typer.Option(min=0.0, help="By how much each figure may differ from the original's. 0: not at all.")
    ] = 0.002,
    any_code: Annotated[
        bool, typer.Option("--any-code", help="Also when other code trained it; then the figures may differ by more.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained, and train nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Trains a version again: its settings, seed and event types, its version of the log, from what it started from.

    The result is registered with the origin reproduce/VERSION/TIME and never promoted. Exit status 1 when a figure
    differs by more than the tolerance; how long something took is not compared. On one machine with the same libraries
    and number of threads the figures are the same to the last digit. They may differ with other libraries, other
    hardware (a GPU above all), another number of threads or of workers, when train.max_seconds ended the run, when the
    item catalog has changed and the kind knows content, and when users of that data asked to be forgotten.

    Example: nightjar models reproduce VERSION --tolerance 0
    """
    from services.registry.wiring import open_registry  # a second of imports that --help spares

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    settings = connected(settings, needs=())
    registry = open_registry(settings)
    original = registry.get(ModelVersion(version))
    origin = f"reproduce/{original.version}/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}"
    if dry_run:
        look_at_repetition(settings, original.version, any_code=any_code)
        start = original.parent or "nothing"
        said = f"{original.version} would be trained again on version {original.data_version} of the log, from {start}."
        typer.echo(json.dumps({"dry_run": True, "version": original.version}) if as_json else said)
        return
    more = ("--any-code",) if any_code else ()
    command = (*TRAINING, "--repeat", original.version, "--origin", origin, *more)
    with Console(stderr=True).status("training again") as status:
        outcome = run_training(settings, _telling(status.update), command=command)
    repeated = registry.get(outcome.version)
    figures = [each for each in differences(original, repeated).metrics if not each.is_of_the_run]
    beyond = [each for each in figures if not each.is_within(tolerance)]
    if as_json:
        typer.echo(json.dumps(_document(original.version, repeated.version, tolerance, figures)))
    else:
        _print(original.version, repeated.version, tolerance, figures)
    if beyond:
        raise typer.Exit(1)


def _telling(update: Callable[[str], object]) -> Callable[[TrainingProgress], object]:
    return lambda now: update(now.sentence)


def _document(
    original: ModelVersion, repeated: ModelVersion, tolerance: float, figures: Sequence[TwoFigures]
) -> dict[str, Any]:
    return {
        "version": original,
        "repeated_as": repeated,
        "tolerance": tolerance,
        "reproduced": all(each.is_within(tolerance) for each in figures),
        "metrics": [
            {
                "name": each.name,
                "original": json_number(each.first),
                "repeated": json_number(each.second),
                "difference": json_number(each.difference),
                "within": each.is_within(tolerance),
            }
            for each in figures
        ],
    }


def _print(original: ModelVersion, repeated: ModelVersion, tolerance: float, figures: Sequence[TwoFigures]) -> None:
    console = Console(highlight=False)
    table = Table("metric", cell(original), cell(repeated), "difference", "")
    for each in figures:
        held = "[green]within[/]" if each.is_within(tolerance) else "[red]beyond[/]"
        apart_by = "0" if each.difference == 0 else f"{each.difference:+.6f}"
        table.add_row(each.name, number(each.first), number(each.second), apart_by, held)
    console.print(table)
    num_beyond = sum(not each.is_within(tolerance) for each in figures)
    said = f"{num_beyond} of {len(figures)} figures differ by more than {tolerance:g}."
    console.print(f"{repeated} repeats {original}: {said}", soft_wrap=True)
