"""`nightjar tune`: better settings for a model kind, searched on the log."""

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from services import logs, process
from services.cli.model_kinds import KindOption
from services.cli.tuning_run import SearchAsked, Standing, run_search
from services.settings import Settings, TrainSettings, load

MAX_TRIALS: Final = 10_000


def tune(
    kind: KindOption = None,
    trials: Annotated[
        int,
        typer.Option(
            min=1, max=MAX_TRIALS, help="How many trials the study is to have, those of earlier runs included."
        ),
    ] = 30,
    budget_s: Annotated[
        float,
        typer.Option(min=0, help="Seconds after which no trial begins, and one under way ends with its epoch. 0: off."),
    ] = 3_600.0,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes that search; they share the cores.")] = 1,
    study: Annotated[
        str, typer.Option(help="Name of the search; one of this name goes on where it was. Unset: the kind's name.")
    ] = "",
    data_version: Annotated[
        int | None, typer.Option(min=0, help="Version of the log, to go on with an earlier study. Unset: the newest.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Example: nightjar tune --trials 20 --budget-s 600

    Tries settings of a model kind on the log, the present ones first, and prints the best as lines to paste. It changes
    nothing. Trials are chosen by NDCG@10 on the validation part; what is held out to judge models is not read. They are
    kept in the catalog database: the same command goes on after a stop. Ctrl-C and SIGTERM show the best so far.
    """
    settings = _settings(kind)
    asked = SearchAsked(trials, budget_s, jobs, study, data_version)
    stop = process.stop_on_signals()
    with _line(Console(stderr=True, highlight=False), asked) as show:
        standing = run_search(settings, asked, show, lambda: not stop.is_set())
    if as_json:
        typer.echo(json.dumps(document(settings.train, study, standing)))
    else:
        typer.echo(text(settings.train, standing))
    if standing.best is None and not stop.is_set():
        raise typer.Exit(1)


def _settings(kind: str | None) -> Settings:
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    if kind is not None:
        settings = settings.model_copy(update={"train": settings.train.model_copy(update={"kind": kind})})
    return settings


@contextmanager
def _line(console: Console, asked: SearchAsked) -> Iterator[Callable[[Mapping[str, Any], Standing], None]]:
    """A live line: how many trials of how many, the best so far, and the time left; a line for each on a log."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(10), TimeElapsedColumn())
    started = monotonic()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("reading the log", total=asked.num_trials)

        def show(said: Mapping[str, Any], now: Standing) -> None:
            if said.get("event") in ("study", "begun", "epoch", "trial"):
                sentence = progress(now, asked, monotonic() - started)
                bar.update(task, description=sentence, completed=now.num_done)
                if said["event"] == "trial" and not console.is_terminal:
                    console.print(sentence)

        yield show


def progress(now: Standing, asked: SearchAsked, elapsed_s: float) -> str:
    """Such as "trial 3 of 30, best NDCG@10 0.0812, at most 540 s left"."""
    best = "" if now.best is None else f", best NDCG@10 {now.best['ndcg_at_10']:.4f}"
    left = f", at most {max(asked.budget_s - elapsed_s, 0):.0f} s left" if asked.budget_s else ""
    return f"trial {min(now.num_done + 1, asked.num_trials)} of {asked.num_trials}{best}{left}"


def lines_to_paste(train: TrainSettings, standing: Standing) -> dict[str, str]:
    """The best settings as variables, but what was best unset; empty when nothing was found."""
    if standing.best is None:
        return {}
    best = standing.best["settings"]
    chosen = best if train.kind == "sequence" else {"options": json.dumps({**train.options, **best})}
    settings = {"kind": train.kind, **chosen}
    return {f"NIGHTJAR_TRAIN__{name.upper()}": str(value) for name, value in settings.items() if value is not None}


def document(train: TrainSettings, study: str, standing: Standing) -> dict[str, Any]:
    return {
        "study": study or train.kind,
        "kind": train.kind,
        "data_version": standing.data_version,
        "num_trials": standing.num_done,
        "best": standing.best,
        "present": standing.present,
        "gain": standing.gain,
        "settings": lines_to_paste(train, standing),
        "troubles": standing.troubles,
    }


def text(train: TrainSettings, standing: Standing) -> str:
    return "\n".join([*_found(train, standing), *(f"Failed: {trouble}" for trouble in standing.troubles)])


def _found(train: TrainSettings, standing: Standing) -> list[str]:
    best, gain, num_done = standing.best, standing.gain, standing.num_done
    if best is None:
        return [f"None of {num_done} trials was completed, so there is nothing to choose."]
    figure = f"NDCG@10 {best['ndcg_at_10']:.4f} on validation"
    if gain is not None and gain <= 0:
        return [f"Of {num_done} trials none was better than the present settings: {figure}."]
    over = "" if gain is None else f", {gain:+.4f} over the present settings"
    lines = [f"{name}={shlex.quote(value)}" for name, value in lines_to_paste(train, standing).items()]
    return [
        f"Of {num_done} trials number {best['number']} was best: {figure}{over}.",
        *lines,
        "What was chosen on validation gains less on new data; `nightjar train` measures that on the holdout.",
    ]
