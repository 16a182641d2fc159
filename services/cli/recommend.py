"""`nightjar recommend`: asks the running service, and shows titles from the catalog; or all lists into files."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from nightjar import Recommendation, RecommenderClient
from services import logs
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.cli.addresses import target_of
from services.cli.sdk_errors import as_domain_errors
from services.cli.terminal import cell, printable
from services.domain.errors import CatalogDown
from services.domain.ids import ItemId
from services.domain.items import Item
from services.domain.recommendations import Seen
from services.settings import load


def recommend(
    user: Annotated[str | None, typer.Argument(metavar="USER", help="The user's id, as the events name it.")] = None,
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=500, help="How many items.")] = 10,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="ITEM", help="An item that is not wanted; may be repeated.")
    ] = None,
    seen: Annotated[
        Seen, typer.Option("--seen", help="What the user has met: leave out the consumed, the shown too, or nothing.")
    ] = Seen.EXCLUDE_CONSUMED,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.01, help="Longest wait, seconds.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
    everybody: Annotated[
        bool, typer.Option("--all", help="Instead of one user: the lists of all who have a history, into --out.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --all: a file that ends in .parquet, or a folder for several.")
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="With --all: the model that answers. Unset: the one that is live.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --all: replace what --out names.")] = False,
) -> None:
    """Recommends items to a user; popular ones to a user nobody knows.

    Example: nightjar recommend 42 -k 5 --seen include. For all: nightjar recommend --all --out lists.parquet -k 20
    """
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    if everybody:
        if user is not None or exclude or seen is not Seen.EXCLUDE_CONSUMED or out is None:
            raise typer.BadParameter("needs --out, and takes no USER, --exclude or --seen", param_hint="--all")
        from services.cli.recommend_all import recommend_all  # a second of imports that one answer spares

        recommend_all(settings, out, k, version, force=force)
        return
    if user is None or out is not None or version is not None or force:
        raise typer.BadParameter("is missing, or --all: --out, --version and --force go with it", param_hint="USER")
    settings = connected(settings, needs=("serve",))
    with as_domain_errors(), RecommenderClient(target_of(settings.serve)) as client:
        started = time.perf_counter()
        answer = client.recommend(user, k, exclude_item_ids=exclude or (), seen=seen.value, timeout_s=timeout_s)
        latency_ms = (time.perf_counter() - started) * 1_000
    titles = _catalogue(settings.database_url, answer)
    if as_json:
        typer.echo(json.dumps(_document(user, answer, titles, latency_ms)))
        return
    console = Console()
    console.print(_table(user, answer, titles))
    console.print(printable(_provenance(answer, latency_ms)), highlight=False, markup=False)


def _catalogue(database_url: str, answer: Recommendation) -> Mapping[ItemId, Item]:
    """What the catalog knows of the items; nothing when it is down, since the answer does not depend on it."""
    try:
        return SqlItemCatalog(connect(database_url)).get([ItemId(item.item_id) for item in answer.items])
    except CatalogDown as error:
        typer.echo(f"nightjar: titles are missing: {error}", err=True)
        return {}


def _document(user: str, answer: Recommendation, titles: Mapping[ItemId, Item], latency_ms: float) -> dict[str, Any]:
    document = {"user_id": user} | asdict(answer) | {"latency_ms": round(latency_ms, 2)}
    for item in document["items"]:
        known = titles.get(item["item_id"], Item(item["item_id"]))
        item |= {"title": known.title, "categories": list(known.categories)}
    return document


def _table(user: str, answer: Recommendation, titles: Mapping[ItemId, Item]) -> Table:
    table = Table(title=f"For {cell(user)}", title_justify="left")
    table.add_column("#", justify="right")
    table.add_column("Title")
    table.add_column("Categories", style="dim")
    table.add_column("Score", justify="right")
    for scored in answer.items:
        known = titles.get(ItemId(scored.item_id), Item(ItemId(scored.item_id)))
        title, categories = known.title or scored.item_id, ", ".join(known.categories)
        table.add_row(str(scored.rank), cell(title), cell(categories), f"{scored.score:.3f}")
    return table


def _provenance(answer: Recommendation, latency_ms: float) -> str:
    source = {
        "model": "from the user's history",
        "popular": "popular items" if answer.degraded else "popular items, since the model knows nothing of this user",
    }.get(answer.source, answer.source)
    parts = [
        f"Model {answer.model_version}",
        source,
        f"history {answer.history_version or 'empty'}",
        "from the cache" if answer.cache_hit else "computed",
        f"{latency_ms:.1f} ms, connecting included",
    ]
    if answer.degraded:
        parts.insert(1, f"degraded ({answer.degraded_reason})")
    return " · ".join(parts)
