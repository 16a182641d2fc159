"""`nightjar models`: the registered versions, and which one serves."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.cli import model_diff, model_keys, model_pins, model_plans, model_reproduce, model_show, model_trials
from services.cli.model_pins import actor
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Model, ModelState
from services.domain.ports import ModelRegistry, Notice
from services.registry.history import rollback_target
from services.registry.promotion import needs_override, promote, rollback
from services.settings import Settings, load

app = typer.Typer(
    no_args_is_help=True,
    help="""The registered models, and which one serves.

    Example: `nightjar models list`, then `nightjar models promote VERSION`, then `nightjar models rollback`.""",
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
STYLES: Mapping[ModelState, str] = {
    ModelState.LIVE: "bold green",
    ModelState.PASSED: "green",
    ModelState.REFUSED: "red",
    ModelState.REGISTERED: "dim",
}


@app.command("list")
def list_models(
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="How many versions at most, newest first.")] = 20,
) -> None:
    """Lists the newest versions with their figures and what the gate said.

    Example: nightjar models list --limit 5
    """
    registry, _ = _opened(_settings())
    live = registry.live()
    models = registry.newest(limit)
    if as_json:
        _print_json(
            {
                "generation": 0 if live is None else live.generation,
                "live_version": None if live is None else live.version,
                "models": [_document(model, live) for model in models],
            }
        )
    elif not models:
        typer.echo("No model is registered yet; `nightjar train` makes one.")
    else:
        Console().print(_table(models, live))


@app.command("promote")
def promote_model(
    version: Annotated[str, typer.Argument(help="Which version, as `nightjar models list` shows it.")],
    override_reason: Annotated[
        str, typer.Option(help="Why it shall serve although the gate did not pass it; recorded. Empty: no override.")
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Makes a version the one that serves. Repeating it changes nothing.

    Example: nightjar models promote VERSION --dry-run
    """
    from services.registry.wiring import open_rollout

    settings = _settings()
    registry, notice = _opened(settings)
    before = registry.live()
    if dry_run:
        model = registry.get(ModelVersion(version))
        if before is None or before.version != version:
            needs_override(model, override_reason)
        return _report(settings, before, model.version, as_json=as_json)
    after = promote(registry, notice, ModelVersion(version), actor(), override_reason, rollout=open_rollout(settings))
    return _report(settings, before, after.version, after, as_json=as_json)


@app.command("rollback")
def roll_back(
    reason: Annotated[str, typer.Option(help="Why, for the audit log. Empty: not said.")] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Makes the version serve again that served before the present one; again: the one before that.

    Example: nightjar models rollback --dry-run
    """
    from services.registry.wiring import open_rollout

    settings = _settings()
    registry, notice = _opened(settings)
    before = registry.live()
    if dry_run:
        return _report(settings, before, rollback_target(registry).version, as_json=as_json)
    after = rollback(registry, notice, actor(), reason, rollout=open_rollout(settings))
    return _report(settings, before, after.version, after, as_json=as_json)


app.command("show")(model_show.show)
app.command("plans")(model_plans.plans)
app.command("diff")(model_diff.diff)
app.command("reproduce")(model_reproduce.reproduce)
app.command("pin")(model_pins.pin)
app.command("unpin")(model_pins.unpin)
app.command("canary")(model_trials.canary)
app.command("shadow")(model_trials.shadow)
app.command("trials")(model_trials.trials)
app.command("end")(model_trials.end)
app.command("keygen")(model_keys.keygen)
app.command("sign")(model_keys.sign)


def _settings() -> Settings:
    """With the running stack's Redis, for the notice; without a stack the database alone does."""
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    return connected(settings)


def _opened(settings: Settings) -> tuple[ModelRegistry, Notice]:
    from services.registry.wiring import open_notice, open_registry  # a second of imports that other commands spare

    return open_registry(settings), open_notice(settings)


def _report(
    settings: Settings, before: Assignment | None, version: str, after: Assignment | None = None, *, as_json: bool
) -> None:
    """What changed, or, without `after`, what would."""
    previous = None if before is None else before.version
    polling = settings.redis.url is None
    if as_json:
        generation = None if after is None else after.generation
        notice = "polling" if polling else "redis"
        _print_json(
            {
                "dry_run": after is None,
                "previous_version": previous,
                "live_version": version,
                "generation": generation,
                "notice": notice,
            }
        )
    elif previous == version:
        typer.echo(f"{version} is live already; nothing {'would change' if after is None else 'changed'}.")
    elif after is None:
        typer.echo(f"{version} would be live instead of {previous or 'nothing'}.")
    else:
        typer.echo(f"{version} is live (generation {after.generation}); before it was {previous or 'nothing'}.")
        if polling:
            typer.echo("No stack runs here; workers elsewhere will notice by polling the database.")


def _document(model: Model, live: Assignment | None) -> dict[str, Any]:
    return {
        "version": model.version,
        "kind": model.kind,
        "state": _state(model, live).value,
        "created_time": model.created_time.isoformat(),
        "data_version": model.data_version,
        "metrics": {name: value if math.isfinite(value) else None for name, value in model.metrics.items()},
        "pinned": None if model.pin is None else {"actor": model.pin.actor, "reason": model.pin.reason},
        "bundle_deleted_time": None if model.deleted_time is None else model.deleted_time.isoformat(),
        "findings": [] if model.verdict is None else [finding.sentence for finding in model.verdict.findings],
    }


def _table(models: Sequence[Model], live: Assignment | None) -> Table:
    table = Table("version", "state", "kind", "created (UTC)", "NDCG@10", "popularity", "gain (interval)", "verdict")
    for model in models:
        state = _state(model, live)
        low, high = _figure(model, "ndcg_gain_at_10_low"), _figure(model, "ndcg_gain_at_10_high")
        table.add_row(
            model.version,
            f"[{STYLES[state]}]{state.value}[/]{_kept(model)}",
            model.kind,
            f"{model.created_time:%Y-%m-%d %H:%M}",
            _figure(model, "ndcg_at_10"),
            _figure(model, "popularity_ndcg_at_10"),
            f"{_figure(model, 'ndcg_gain_at_10')} ({low} to {high})",
            _verdict(model),
        )
    return table


def _state(model: Model, live: Assignment | None) -> ModelState:
    return model.state(None if live is None else live.version)


def _kept(model: Model) -> str:
    if model.deleted_time is not None:
        return ", bundle deleted"
    return "" if model.pin is None else ", pinned"


def _figure(model: Model, name: str) -> str:
    value = model.metrics.get(name, math.nan)
    return "–" if math.isnan(value) else f"{value:.4f}"


def _verdict(model: Model) -> str:
    if model.verdict is None:
        return "not judged yet"
    if model.verdict.passed:
        return "passed"
    return " ".join(finding.sentence for finding in model.verdict.findings if not finding.passed)


def _print_json(document: Mapping[str, Any]) -> None:
    typer.echo(json.dumps(document))
