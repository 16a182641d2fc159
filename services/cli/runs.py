"""`nightjar runs`: how training runs go, the present one too, whoever started them."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.cli.terminal import cell
from services.cli.training_run import STAGES
from services.domain.clock import SystemClock
from services.domain.training_runs import TrainingRun, TrainingState
from services.settings import load

STYLES = {TrainingState.RUNNING: "bold", TrainingState.COMPLETED: "green", TrainingState.FAILED: "red"}


def runs(
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many runs at most, newest first.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Shows the newest training runs, by hand and nightly: how far they are, or what came of them.

    A run that gives no word for five minutes is probably dead: its process was killed, or cannot reach the database.

    Example: nightjar runs --limit 3
    """
    from services.adapters.sql.engine import connect  # a second of imports that --help spares
    from services.adapters.sql.migrate import upgrade
    from services.adapters.sql.training_runs import SqlTrainingRuns

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    settings = connected(settings)
    upgrade(settings.database_url)
    found, now = SqlTrainingRuns(connect(settings.database_url)).newest(limit), SystemClock().now()
    if as_json:
        typer.echo(json.dumps({"runs": [document(run, now) for run in found]}))
    elif not found:
        typer.echo("No training has run yet; `nightjar train` starts one.")
    else:
        Console().print(table(found, now))


def document(run: TrainingRun, now: datetime) -> dict[str, Any]:
    """`silent_s`: for how long a run that should be running gave no word; null when it did, or has ended."""
    silence = run.silence(now)
    return {
        "run_id": run.run_id,
        "kind": run.kind,
        "mode": run.mode,
        "trigger": run.trigger,
        "state": run.state.value,
        "stage": run.stage,
        "start_time": run.start_time.isoformat(),
        "update_time": run.update_time.isoformat(),
        "silent_s": None if silence is None else silence.total_seconds(),
        "epoch": run.epoch,
        "max_epochs": run.max_epochs,
        "loss": run.loss,
        "valid_ndcg_at_10": run.valid_ndcg_at_10,
        "examples_per_s": run.examples_per_s,
        "left_s": run.left_s,
        "version": run.version,
        "detail": run.detail,
    }


def table(runs: Sequence[TrainingRun], now: datetime) -> Table:
    """Narrow enough for 80 characters."""
    shown = Table()
    for name in ("started (UTC)", "training", "state"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("how it goes")
    for run in runs:
        silent = run.silence(now) is not None
        state = "[yellow]silent[/]" if silent else f"[{STYLES[run.state]}]{run.state.value}[/]"
        shown.add_row(
            f"{run.start_time:%Y-%m-%d %H:%M}",
            "\n".join(filter(None, (run.kind, run.mode, run.trigger))),
            f"{state}\n{_short(run.update_time - run.start_time)}",
            cell(sentence(run, now)),
        )
    return shown


def sentence(run: TrainingRun, now: datetime) -> str:
    """What it does or what came of it, and the figures of its last epoch."""
    doing = STAGES.get(run.stage, run.stage) or "starting"
    silence = run.silence(now)
    if run.state is TrainingState.COMPLETED:
        said = [run.version or ""]
    elif run.state is TrainingState.FAILED:
        said = [f"{doing}: {run.detail.rstrip('.')}"]
    elif silence is not None:
        said = [f"no word for {_short(silence)} while {doing}: it was probably killed"]
    else:
        said = [doing if run.left_s is None else f"{doing}, at most {_short(timedelta(seconds=run.left_s))} left"]
    if run.epoch:
        said.append(f"epoch {run.epoch} of {run.max_epochs}")
    if run.loss is not None:
        said.append(f"loss {run.loss:.3f}")
    if run.valid_ndcg_at_10 is not None:
        said.append(f"validation NDCG@10 {run.valid_ndcg_at_10:.4f}")
    if run.examples_per_s is not None:
        said.append(f"{run.examples_per_s:,.0f} events/s")
    return "; ".join(said)


def _short(duration: timedelta) -> str:
    """Such as 40 s, 12 min, 3.5 h."""
    seconds = duration.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"
