"""`nightjar evaluate`: the figures of a model kind on a data set, as published tables have them."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services.cli.evaluation_run import EvaluationAsked, run_evaluation
from services.cli.evaluation_tables import tables
from services.cli.model_kinds import KindOption
from services.settings import load

STAGES: Final[Mapping[str, str]] = {
    "read": "reading the data",
    "fit": "fitting",
    "measure": "measuring",
    "replay": "replaying",
}


def evaluate(
    protocol: Annotated[
        Literal["P1", "P2", "P3"],
        typer.Option(
            help="P1: each user's last item; P2: the split that the data has; P3: the last 7 days.",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Holds events.parquet (user_id, item_id, timestamp in seconds; pos and split if there are), and "
            "items.parquet (item_id and what is known of it) if there is one.",
        ),
    ],
    model: KindOption = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random. Unset: NIGHTJAR_TRAIN__SEED.", min=0)] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="One of the NIGHTJAR_TRAIN__ settings for this run, such as max_epochs=20; may be given again. Unless "
            "max_history is set, a sequence model sees 50, 100 or 200 events, whatever holds 95% of the histories, and "
            "another model all of them.",
        ),
    ] = None,
    replay: Annotated[
        int,
        typer.Option(
            metavar="DAYS",
            min=0,
            help="With P3: lives so many of the last days through again, trains each night, and says what that gains "
            "over a model frozen before the first day; each night from nothing unless --set mode=incremental. 0: off.",
        ),
    ] = 0,
    beside_full: Annotated[
        bool,
        typer.Option(
            "--beside-full",
            help="With --replay and --set mode=auto: each night trains from nothing as well, to say what the shorter "
            "training saves in seconds and loses in quality.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Example: nightjar evaluate --protocol P1 --data my-shop --model popularity

    Fits a model kind to a data set, asks it about every user whom the protocol asks about, with the full catalogue
    ranked, and prints the figures. Nothing is published. Exit status 1 when the data cannot be used or does not fit.
    """
    if replay and protocol != "P3":
        raise typer.BadParameter("a replay goes by days and needs --protocol P3", param_hint="--replay")
    settings = load()
    console = Console(highlight=False)
    asked = EvaluationAsked(protocol, data, model, seed, tuple(changes or ()), replay, beside_full)
    with progress(Console(stderr=True, highlight=False)) as show:
        figures = run_evaluation(settings, asked, show)
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        for table in tables(figures):
            console.print(table)


@contextmanager
def progress(console: Console) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A live line: the stage, and the epochs as a bar."""
    columns = (
        SpinnerColumn(), TextColumn("{task.fields[stage]:<16}"), BarColumn(10), TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("evaluation", total=None, stage="starting", figures="")

        def show(said: Mapping[str, Any]) -> None:
            if said.get("event") == "stage":
                bar.update(task, stage=STAGES.get(said["name"], said["name"]))
            elif said.get("event") == "epoch":
                figures = f"{said['epoch']}/{said['max_epochs']} loss {said['loss']:.3f}"
                bar.update(task, total=said["max_epochs"], completed=said["epoch"], figures=figures)
            elif said.get("event") == "day":
                bar.update(task, stage=f"day {said['number']} of {said['num_days']}", figures=_of_day(said))

        yield show


def _of_day(said: Mapping[str, Any]) -> str:
    if "date" not in said:
        return "nobody to ask"
    return f"{said['date']} NDCG@10 {said['ndcg_at_10']:.4f}, frozen {said['frozen_ndcg_at_10']:.4f}"
