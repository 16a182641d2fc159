"""`nightjar models plans`: the ways in which a version could be served, and what each costs and loses."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.cli.frontier_plot import frontier_svg
from services.cli.model_words import json_number
from services.cli.terminal import cell
from services.domain.errors import InvalidRequest
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.plans import PlanRow, PlanTable
from services.settings import load

COLUMNS: Final = (
    "", "encoder", "precision", "runtime", "items", "index", "NDCG@10", "lost (at most)", "same 20", "encode", "answer",
    "p50 / p99 ms", "graph",
)  # fmt: skip


def plans(
    version: Annotated[str, typer.Argument(help="Which version, as `nightjar models list` shows it.")],
    plot: Annotated[
        Path | None, typer.Option(help="An SVG file to draw cost against quality into. Unset: none is drawn.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Shows every plan that was measured when the version was trained, and which one it is served by.

    Example: nightjar models plans VERSION --plot frontier.svg
    """
    from services.registry.wiring import open_registry  # a second of imports that --help spares

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    model = open_registry(connected(settings, needs=())).get(ModelVersion(version))
    found = plans_of(model)
    if plot is not None:
        try:
            plot.write_text(frontier_svg(found), encoding="utf-8")
        except OSError as error:
            raise InvalidRequest("--plot", f"cannot be written: {error}") from error
    if as_json:
        typer.echo(json.dumps({"version": model.version, **document(found)}))
    else:
        Console().print(table(found))
        typer.echo(f"Allowed to lose: {found.max_loss:.1%} of NDCG@10. Served by: {found.chosen.name}.")


def plans_of(model: Model) -> PlanTable:
    """Raises InvalidRequest for a version without a table, BundleBroken for one that cannot be read."""
    written = model.provenance.configuration.get("plans")
    if written is None:
        raise InvalidRequest(
            "VERSION", f"{model.version} has no table of plans: its kind has no encoder, or an older release trained it"
        )
    return PlanTable.from_document(written)


def document(plans: PlanTable) -> dict[str, Any]:
    """Its rows with what is worked out of them."""
    written = plans.to_document()
    for row, words in zip(plans.rows, written["rows"], strict=True):
        words["name"], words["chosen"] = row.plan.name, row.plan == plans.chosen
        if row.figures is not None:
            words["figures"] |= {
                "loss": json_number(row.figures.loss),
                "loss_at_most": json_number(row.figures.loss_at_most),
            }
    return written


def table(plans: PlanTable) -> Table:
    found = Table(*COLUMNS, title="Plans; costs in microseconds of a core")
    for row in plans.rows:
        plan = row.plan
        words = (plan.encoder, plan.precision, plan.runtime, plan.item_table, plan.index)
        found.add_row("→" if plan == plans.chosen else "", *map(cell, words), *_figures(row))
    return found


def _figures(row: PlanRow) -> tuple[str, ...]:
    figures = row.figures
    if figures is None:
        return (f"[red]{cell(row.reason)}[/]",)
    return (
        f"{figures.ndcg_at_10:.4f}",
        f"{figures.loss:+.2%} ({figures.loss_at_most:+.2%})",
        f"{figures.overlap_at_20:.1%}",
        f"{figures.encode_core_us:,.0f}",
        f"{figures.answer_core_us:,.0f}",
        f"{figures.answer_p50_ms:.3f} / {figures.answer_p99_ms:.3f}",
        f"{figures.encoder_bytes / 2**20:.2f} MiB" if figures.encoder_bytes else "–",
    )
