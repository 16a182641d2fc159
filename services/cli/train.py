"""`nightjar train`: a model from the log, through the gate, live."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from deploy.embedded.state import connected
from services import logs
from services.cli.judging_run import figures_beside_champion
from services.cli.model_kinds import KindOption
from services.cli.training_run import STAGES, TRAINING, TrainingOutcome, TrainingProgress, run_training
from services.domain.models import Verdict
from services.registry.promotion import gate_and_promote
from services.registry.wiring import gate_rules, open_notice, open_registry, open_rollout
from services.settings import Settings, load


def _is_iso(value: str) -> str:
    if value:
        try:
            datetime.fromisoformat(value)
        except ValueError as error:
            raise typer.BadParameter(f"{value!r} is no ISO date or time such as 2026-01-31") from error
    return value


def train(
    as_of: Annotated[
        str,
        typer.Option(callback=_is_iso, help="Train on what happened before this ISO date or time, UTC. Empty: all."),
    ] = "",
    kind: KindOption = None,
    promote: Annotated[
        bool | None,
        typer.Option(
            "--promote/--no-promote",
            help="Whether the gate judges it and it goes live if it passes. Unset: yes, but no with --as-of, since a "
            "model of the past would replace tonight's.",
        ),
    ] = None,
    ray_workers: Annotated[
        int,
        typer.Option(min=0, help="Fit by so many processes under Ray Train, on this machine. 0: by one, without Ray."),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Trains a model on the log, and makes it live if it passes the gate. Exit status 1 when it does not.

    The gate compares it with the live model, as a night does.

    With --as-of it is only registered, unless --promote is given. Waits for no night that runs, nor does a night
    wait for it: of two that pass, the later one is live.

    Example: nightjar train --as-of 2026-01-31
    """
    settings = _settings(kind)
    console = Console(stderr=as_json, highlight=False)
    with _bar(console) as show:
        outcome = run_training(settings, show, as_of, (*TRAINING, "--ray-workers", str(ray_workers)))
    verdict = None
    if goes_to_the_gate(promote, as_of):
        registry, notice = open_registry(settings), open_notice(settings)
        with console.status("judging beside the live model"):
            figures = figures_beside_champion(settings, registry, registry.get(outcome.version))
        verdict = gate_and_promote(
            registry,
            notice,
            outcome.version,
            gate_rules(settings),
            f"train by uid {os.getuid()}",
            figures=figures,
            rollout=open_rollout(settings),
        )
    if as_json:
        typer.echo(json.dumps(_document(outcome, verdict)))
    else:
        _tell(console, outcome, verdict)
        if verdict is None:
            console.print(_why_not_judged(outcome, as_of if promote is None else ""))
    if verdict is not None and not verdict.passed:
        raise typer.Exit(1)


def goes_to_the_gate(promote: bool | None, as_of: str) -> bool:
    """What was asked for; unasked, a model of the present does and one of the past does not."""
    return not as_of if promote is None else promote


def _settings(kind: str | None) -> Settings:
    """With the running stack's Redis, for the notice; without a stack the database alone does."""
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    settings = connected(settings)
    if kind is not None:
        settings = settings.model_copy(update={"train": settings.train.model_copy(update={"kind": kind})})
    return settings


@contextmanager
def _bar(console: Console) -> Iterator[Callable[[TrainingProgress], None]]:
    """A live line: the stage, the epochs as a bar, the last epoch's figures, and the time left."""
    columns = (
        SpinnerColumn(), TextColumn("{task.fields[stage]:<23}"), BarColumn(10), TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=None, stage="starting", figures="")

        def show(now: TrainingProgress) -> None:
            progress.update(task, stage=STAGES.get(now.stage, now.stage))
            if now.epoch:
                progress.update(task, total=now.max_epochs, completed=now.epoch, figures=_figures(now))

        yield show


def _figures(now: TrainingProgress) -> str:
    return (
        f"{now.epoch}/{now.max_epochs} loss {now.loss:.3f} NDCG@10 {now.valid_ndcg_at_10:.4f} "
        f"{now.examples_per_s / 1000:.0f}k events/s, {now.left_s or 0:.0f} s left"
    )


def _document(outcome: TrainingOutcome, verdict: Verdict | None) -> dict[str, Any]:
    return {
        "version": outcome.version,
        "wall_s": round(outcome.wall_s, 3),
        "metrics": dict(outcome.metrics),
        "judged": verdict is not None,
        "promoted": verdict is not None and verdict.passed,
        "findings": [] if verdict is None else [asdict(finding) for finding in verdict.findings],
    }


def _tell(console: Console, outcome: TrainingOutcome, verdict: Verdict | None) -> None:
    metrics = outcome.metrics
    console.print(f"[bold]{outcome.version}[/] was trained in {outcome.wall_s:.0f} s.")
    console.print(
        f"NDCG@10 {metrics['ndcg_at_10']:.4f} (popularity {metrics['popularity_ndcg_at_10']:.4f}), "
        f"Recall@20 {metrics['recall_at_20']:.4f} (popularity {metrics['popularity_recall_at_20']:.4f}) "
        f"on {metrics['num_holdout_events']:,.0f} later events."
    )
    for finding in verdict.findings if verdict else ():
        console.print(f"  {'[green]✓[/]' if finding.passed else '[red]✗[/]'} {finding.sentence}")
    if verdict is not None and verdict.passed:
        console.print("It is live. Ask it: `nightjar recommend USER`; take it back: `nightjar models rollback`.")
    elif verdict is not None:
        console.print(
            "The gate refused it, and nothing changed. To serve it all the same: "
            f"`nightjar models promote {outcome.version} --override-reason WHY`."
        )


def _why_not_judged(outcome: TrainingOutcome, as_of: str) -> str:
    because = f", since it is of {as_of}: --promote lets the gate decide" if as_of else ""
    return (
        f"It is registered, not judged and not live{because}. To serve it: "
        f"`nightjar models promote {outcome.version} --override-reason WHY`."
    )
