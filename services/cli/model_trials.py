"""`nightjar models canary`, `shadow`, `trials` and `end`: versions at work beside the live one."""

import json
import math
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services import logs
from services.cli.model_pins import actor
from services.domain.clock import SystemClock
from services.domain.ids import ModelVersion
from services.domain.ports import Trials
from services.domain.trials import ModelTrial, TrialKind
from services.domain.vitals import Vitals
from services.registry import trials as use_case
from services.registry.trial_status import TrialStatus, newest_trials
from services.settings import Settings, load

Version = Annotated[str, typer.Argument(help="Which version, as `nightjar models list` shows it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Share = Annotated[float, typer.Option(help="Of the users, above 0 up to 1; which ones is a matter of a stable hash.")]


def canary(
    version: Version,
    share: Share = 0.05,
    override_reason: Annotated[
        str, typer.Option(help="Why it shall answer although the gate did not pass it; recorded. Empty: no override.")
    ] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Has a version answer a share of the users; the live one answers the others. Again with another share: changes it.

    Example: nightjar models canary VERSION --share 0.05
    """
    _start(TrialKind.CANARY, version, share, override_reason, dry_run=dry_run, as_json=as_json)


def shadow(version: Version, share: Share = 1.0, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Has a version asked what users ask, after they were answered; nobody sees what it says. It is counted.

    Example: nightjar models shadow VERSION
    """
    _start(TrialKind.SHADOW, version, share, "", dry_run=dry_run, as_json=as_json)


def end(
    kind: Annotated[TrialKind, typer.Argument(help="Which trial.")],
    reason: Annotated[str, typer.Option(help="Why, for the audit log. Empty: not said.")] = "",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Ends the canary, whose users get the live model at once, or the shadow. Repeating it changes nothing.

    Example: nightjar models end canary --reason "slower than the live one"
    """
    opened = _opened(_settings())
    before = next((each for each in opened.current() if each.kind is kind), None)
    if not dry_run and before is not None:
        use_case.end(opened, kind, actor(), reason)
    if as_json:
        version = None if before is None else before.version
        typer.echo(json.dumps({"dry_run": dry_run, "kind": kind.value, "ended_version": version}))
    elif before is None:
        typer.echo(f"There is no {kind}; nothing {'would change' if dry_run else 'changed'}.")
    else:
        typer.echo(f"{before.version} {'would no longer be' if dry_run else 'is no longer'} the {kind}.")


def trials(
    as_json: Json = False,
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many at most: first those that go on.")] = 5,
) -> None:
    """Shows trials, those that are over too: how a canary answers beside the live model, and how like a shadow is.

    Example: nightjar models trials --limit 2
    """
    from services.registry.wiring import open_rollout

    settings = _settings()
    opened = _opened(settings)
    found = newest_trials(opened, open_rollout(settings).fleet, SystemClock().now(), limit)
    if as_json:
        typer.echo(json.dumps({"trials": [_document(each) for each in found]}))
    elif not found:
        typer.echo("No version was ever on trial; `nightjar models canary VERSION` begins one.")
    else:
        Console().print(_table(found))
        for problem in sorted({problem for each in found for problem in each.problems}):
            typer.echo(f"Not loaded: {problem}")


def _start(kind: TrialKind, version: str, share: float, reason: str, *, dry_run: bool, as_json: bool) -> None:
    from services.bundle_wiring import open_bundles  # a second of imports that --help spares
    from services.registry.wiring import open_registry

    settings = _settings()
    registry, opened = open_registry(settings), _opened(settings)
    before = next((each for each in opened.current() if each.kind is kind), None)
    made = use_case.start(
        registry,
        opened,
        open_bundles(settings),
        kind,
        ModelVersion(version),
        share=share,
        actor=actor(),
        override_reason=reason,
        dry_run=dry_run,
    )
    if as_json:
        number = None if made is None else made.number
        document = {"dry_run": dry_run, "kind": kind.value, "version": version, "share": share, "number": number}
        typer.echo(json.dumps(document | {"changed": made is not None and made != before}))
    else:
        typer.echo(_sentence(kind, version, share, before, made))


def _sentence(kind: TrialKind, version: str, share: float, before: ModelTrial | None, made: ModelTrial | None) -> str:
    if made is None:
        return f"{version} would be the {kind} of {share:.4g} of the users."
    if made == before:
        return f"{version} is the {kind} of {share:.4g} of the users already; nothing changed."
    return f"{version} is the {kind} of {share:.4g} of the users (change {made.number}); see `nightjar models trials`."


def _settings() -> Settings:
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    return settings


def _opened(settings: Settings) -> Trials:
    from services.registry.wiring import open_registry, open_trials

    open_registry(settings)  # brings the tables up to date
    return open_trials(settings)


def _document(status: TrialStatus) -> dict[str, Any]:
    trial, likeness = status.trial, status.figures.likeness
    sides = {"trial": _side(status.figures.of_trial)}
    if trial.kind is TrialKind.CANARY:
        sides["live"] = _side(status.figures.of_live)
    return {
        "kind": trial.kind.value,
        "version": trial.version,
        "share": trial.share,
        "is_over": trial.is_over,
        "begin_time": None if status.begin_time is None else status.begin_time.isoformat(),
        "change_time": trial.change_time.isoformat(),
        "actor": trial.actor,
        "reason": trial.reason,
        "override": trial.override,
        "num_workers": status.num_workers,
        "num_holding": status.num_holding,
        "problems": list(status.problems),
        **sides,
        "overlap_at_10": likeness.overlap_at_10,
        "num_compared": likeness.num_compared,
        "num_dropped": likeness.num_dropped,
    }


def _side(vitals: Vitals) -> dict[str, Any]:
    return {
        "num_calls": vitals.num_calls,
        "num_failed": vitals.num_failed,
        "num_degraded": vitals.num_degraded,
        "p99_ms": vitals.p99_s * 1_000 if math.isfinite(vitals.p99_s) else None,
    }


def _table(found: list[TrialStatus]) -> Table:
    table = Table(
        "trial", "version", "share", "workers", "side", "calls", "failed", "degraded", "p99 (ms)", "overlap@10"
    )
    for each in found:
        trial, likeness = each.trial, each.figures.likeness
        share = "over" if trial.is_over else f"{trial.share:.4g}"
        holding = "–" if trial.is_over else f"{each.num_holding} of {each.num_workers}"
        overlap = "–" if likeness.overlap_at_10 is None else f"{likeness.overlap_at_10:.3f}"
        dropped = f" ({likeness.num_dropped} dropped)" if likeness.num_dropped else ""
        table.add_row(
            trial.kind, trial.version, share, holding, trial.kind, *_cells(each.figures.of_trial), overlap + dropped
        )
        if trial.kind is TrialKind.CANARY:
            table.add_row("", "", "", "", "live", *_cells(each.figures.of_live), "")
    return table


def _cells(vitals: Vitals) -> list[str]:
    side = _side(vitals)
    p99 = "over 2,800" if side["p99_ms"] is None else f"{side['p99_ms']:.3g}"
    return [f"{vitals.num_calls:,}", f"{vitals.num_failed:,}", f"{vitals.num_degraded:,}", p99]
