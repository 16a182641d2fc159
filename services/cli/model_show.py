"""`nightjar models show`: everything that is known of one version."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.bundle_wiring import open_bundles
from services.cli.model_words import cost_document, cost_line, json_number, moment, number, printed
from services.cli.terminal import cell
from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import BundleBroken, BundleDeleted
from services.domain.ids import ModelVersion
from services.domain.model_differences import Different, figures_of, unlike
from services.domain.models import Assignment, Model
from services.domain.ports import BundleStore
from services.registry.story import ancestors, changes_to
from services.settings import Settings, load


def show(
    version: Annotated[str, typer.Argument(help="Which version, as `nightjar models list` shows it.")],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Compare every file of its bundle with its sum, and its signature. Reads it all."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Shows how a version came about, what it cost, what was measured and found of it, and what became of it.

    Exit status 1 when it is verified and does not hold. Example: nightjar models show VERSION --verify
    """
    from services.registry.wiring import open_registry  # a second of imports that --help spares

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    settings = connected(settings, needs=())
    registry = open_registry(settings)
    model, live = registry.get(ModelVersion(version)), registry.live()
    chain, changes = ancestors(registry, model), changes_to(registry, model.version)
    problem = _problem(settings, model) if verify else None
    state = model.state(None if live is None else live.version).value
    if as_json:
        document = _document(settings, model, state, chain, changes)
        typer.echo(json.dumps(document | ({"verified": not problem, "problem": problem} if verify else {})))
    else:
        _print(settings, model, state, chain, changes, problem)
    if problem:
        raise typer.Exit(1)


def unusual_settings(model: Model) -> tuple[Different, ...]:
    """Those that were not the defaults of this release."""
    defaults = Settings.model_construct().model_dump(mode="json", include={"train", "event_types"})
    return unlike(model.provenance.configuration, defaults)


def _problem(settings: Settings, model: Model) -> str:
    """Why its bundle does not hold; empty when it does. Raises BundleStoreDown."""
    try:
        if model.deleted_time is not None:
            raise BundleDeleted(f"clean-up deleted it at {moment(model.deleted_time)}")
        with _uncached(settings) as bundles:
            digest = sha256_of(bundles.fetch(model.location) / MANIFEST)
    except (BundleBroken, BundleDeleted) as error:
        return str(error)
    return "" if digest == model.digest else f"its manifest has the digest {digest}, which is not the registered one"


@contextmanager
def _uncached(settings: Settings) -> Iterator[BundleStore]:
    """The store itself, not what this host fetched of it before."""
    if settings.bundles.url is None:
        yield open_bundles(settings)
        return
    with TemporaryDirectory(prefix="nightjar-verify-") as empty:
        yield open_bundles(settings.model_copy(update={"home": Path(empty)}))


def _where(settings: Settings, model: Model) -> str:
    return f"{settings.bundles.url or settings.bundle_folder}/{model.location}"


def _document(
    settings: Settings, model: Model, state: str, chain: list[ModelVersion], changes: list[Assignment]
) -> dict[str, Any]:
    told = model.provenance
    return {
        "version": model.version,
        "kind": model.kind,
        "state": state,
        "created_time": model.created_time.isoformat(),
        "origin": model.origin,
        "ancestors": chain,
        "data_version": model.data_version,
        "first_event_time": None if told.first_event_time is None else told.first_event_time.isoformat(),
        "last_event_time": None if told.last_event_time is None else told.last_event_time.isoformat(),
        "code_version": told.code_version,
        "seed": told.seed,
        "settings": dict(told.configuration),
        "unusual_settings": {
            each.name: {"value": each.first, "default": each.second} for each in unusual_settings(model)
        },
        "metrics": {name: json_number(value) for name, value in model.metrics.items()},
        "cost": {stage: cost_document(cost) for stage, cost in told.cost.items()},
        "verdict": None if model.verdict is None else {
            "passed": model.verdict.passed,
            "findings": [
                asdict(each) | {"figure": json_number(each.figure), "threshold": json_number(each.threshold)}
                for each in model.verdict.findings
            ],
        },
        "assignments": [asdict(each) | {"change_time": each.change_time.isoformat()} for each in changes],
        "pinned": None if model.pin is None else asdict(model.pin),
        "bundle": _where(settings, model),
        "bundle_deleted_time": None if model.deleted_time is None else model.deleted_time.isoformat(),
        "digest": model.digest,
    }  # fmt: skip


def _print(
    settings: Settings,
    model: Model,
    state: str,
    chain: list[ModelVersion],
    changes: list[Assignment],
    problem: str | None,
) -> None:
    told, console = model.provenance, Console(highlight=False)
    gone = "" if model.deleted_time is None else f", deleted {moment(model.deleted_time)}"
    verified = (
        "" if problem is None else (f"; it does not hold: {problem}" if problem else "; whole, and as registered")
    )
    facts = {
        "version": f"{model.version} ({model.kind}), {state}",
        "registered": f"{moment(model.created_time)}, origin {model.origin or 'none'}",
        "started from": ", which started from ".join(chain) or "nothing",
        "data": f"version {model.data_version} of the log, events from {moment(told.first_event_time)} to "
        f"{moment(told.last_event_time)}",
        "code": f"{told.code_version or 'unknown'}, seed {'unknown' if told.seed is None else told.seed}",
        "pinned": "no" if model.pin is None else f"by {model.pin.actor}: {model.pin.reason}",
        "bundle": f"{_where(settings, model)}{gone}{verified}",
        "digest": model.digest,
    }
    for name, value in facts.items():
        console.print(f"{name + ':':<14}{cell(value)}", soft_wrap=True)
    for stage, cost in told.cost.items():
        console.print(f"{'cost, ' + stage + ':':<18}{cost_line(cost)}", soft_wrap=True)
    console.print(f"{'cost, all:':<18}{cost_line(told.total_cost)}", soft_wrap=True)
    for title, table in _tables(model, changes).items():
        console.print(f"\n{title}" if table.row_count else f"\n{title}: none")
        if table.row_count:
            console.print(table)


def _tables(model: Model, changes: list[Assignment]) -> dict[str, Table]:
    unusual = Table("setting", "value", "default")
    for each in unusual_settings(model):
        unusual.add_row(*(cell(printed(text)) for text in (each.name, each.first, each.second)))
    metrics = Table("metric", "value", "interval")
    for figure in figures_of(model.metrics):
        ends = figure.interval
        metrics.add_row(figure.name, number(figure.value), f"{number(ends.low)} to {number(ends.high)}" if ends else "")
    verdict = Table("rule", "figure", "threshold", "", "what it says")
    for finding in () if model.verdict is None else model.verdict.findings:
        held = "[green]held[/]" if finding.passed else "[red]broken[/]"
        verdict.add_row(finding.rule, number(finding.figure), number(finding.threshold), held, cell(finding.sentence))
    live = Table("generation", "when (UTC)", "who", "why", "how")
    for change in changes:
        how = "rollback" if change.restores is not None else ("override" if change.override else "promotion")
        live.add_row(str(change.generation), moment(change.change_time), cell(change.actor), cell(change.reason), how)
    judged = "not judged yet" if model.verdict is None else ("passed" if model.verdict.passed else "refused")
    return {
        "Settings unlike the defaults": unusual,
        "Metrics": metrics,
        f"The gate's verdict ({judged})": verdict,
        "Made live": live,
    }
