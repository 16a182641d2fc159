"""`nightjar recommend`: asks the running service, and shows titles from the catalog; or all lists into files."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from nightjar import Recommendation, RecommenderClient, Wishes
from services import logs
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.cli.addresses import target_of
from services.cli.sdk_errors import as_domain_errors
from services.cli.terminal import cell, printable
from services.cli.wishes import boosts_of, filter_of, quotas_of, required_of
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
    category: Annotated[
        list[str] | None,
        typer.Option("--category", metavar="NAME", help="Only items of this category; repeated: of any of them."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="NAME", help="No item of this category; may be repeated.")
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option("--attribute", metavar="NAME=VALUE", help="Only items with it; a name repeated: any value."),
    ] = None,
    min_price: Annotated[
        str | None, typer.Option("--min-price", metavar="'AMOUNT CUR'", help="Such as '5 EUR'. Off: however little.")
    ] = None,
    max_price: Annotated[
        str | None, typer.Option("--max-price", metavar="'AMOUNT CUR'", help="Such as '12.99 EUR'. Off: however much.")
    ] = None,
    boost: Annotated[
        list[str] | None,
        typer.Option(
            "--boost", metavar="WHAT=WEIGHT", help="category:NAME=2, item:ID=0.5 or ATTRIBUTE:VALUE=3; may be repeated."
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="ITEM[@PLACE]", help="An item that must be there; may be repeated."),
    ] = None,
    quota: Annotated[
        list[str] | None,
        typer.Option("--quota", metavar="[NAME=]N", help="At most N items of each category, or of one."),
    ] = None,
    diversity: Annotated[
        float, typer.Option("--diversity", min=0.0, max=1.0, help="How unlike each other; 0: by relevance alone.")
    ] = 0.0,
    context: Annotated[
        list[str] | None,
        typer.Option("--context", metavar="ITEM", help="What the user looks at: items like it are mixed in."),
    ] = None,
    surface: Annotated[
        str, typer.Option("--surface", help="Where the list is shown. Off: nowhere in particular.")
    ] = "",
    paged: Annotated[bool, typer.Option("--paged", help="Say how to ask for the next page.")] = False,
    page: Annotated[str, typer.Option("--page", metavar="TOKEN", help="The next page; else all as before.")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Say why each item is there.")] = False,
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

    Example: nightjar recommend 42 -k 5 --category Comedy --diversity 0.3 --explain
    For all: nightjar recommend --all --out lists.parquet -k 20
    """
    wishes = Wishes(
        filter=filter_of(category or (), without or (), attribute or (), min_price, max_price),
        boosts=boosts_of(boost or ()),
        must_include=required_of(include or ()),
        quotas=quotas_of(quota or ()),
        diversity=diversity,
        context_item_ids=context or (),
        surface=surface,
        paged=paged,
    )
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
        answer = client.recommend(
            user,
            k,
            exclude_item_ids=exclude or (),
            seen=seen.value,
            wishes=wishes,
            page_token=page,
            explain=explain,
            timeout_s=timeout_s,
        )
        latency_ms = (time.perf_counter() - started) * 1_000
    titles = _catalogue(settings.database_url, answer)
    if as_json:
        typer.echo(json.dumps(_document(user, answer, titles, latency_ms), default=str))
        return
    console = Console()
    console.print(_table(user, answer, titles))
    for line in _reasons(answer):
        console.print(printable(line), highlight=False, markup=False)
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


def _reasons(answer: Recommendation) -> Iterator[str]:
    """Why each item is there, what is not, and how the list goes on; as far as it was asked for."""
    for item in answer.items:
        if item.explanation is not None:
            events = (f"{each.event_type} of {each.item_id} {each.change:+.3f}" for each in item.explanation.influences)
            yield f"{item.rank}. {item.source}: {', '.join((*events, *item.explanation.rules)) or 'popular'}"
    for left_out in answer.left_out:
        yield f"Left out: {left_out.item_id} ({left_out.reason})"
    if answer.next_page_token:
        yield f"Next page: --page {answer.next_page_token}"


def _provenance(answer: Recommendation, latency_ms: float) -> str:
    source = {
        "model": "from the user's history",
        "counters": "what is popular on the surface, since the model knows nothing of this user",
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
