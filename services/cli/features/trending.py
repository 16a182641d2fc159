"""`nightjar features trending`: what is popular or trending now."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.cli.terminal import cell
from services.domain.counters import CounterKind
from services.domain.errors import InvalidRequest
from services.domain.ids import ItemId
from services.settings import Settings, load


def trending(
    kind: Annotated[
        CounterKind, typer.Option(help="trending: the last hours count; popular: each event type's own half-life.")
    ] = CounterKind.TRENDING,
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many at most.")] = 10,
    surface: Annotated[str | None, typer.Option(help="Only events on this surface. Unset: on all together.")] = None,
    category: Annotated[str | None, typer.Option(help="Only items of this category. Unset: of any or none.")] = None,
    by_category: Annotated[bool, typer.Option("--by-category", help="Rank categories instead of items.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """Lists what users do most with, weighted by what they do, older events counting less.

    Example: nightjar features trending --kind popular --surface home --category Noir
    """
    if by_category and category is not None:
        raise InvalidRequest("--category", "cannot stand beside --by-category")
    settings = load()
    logs.configure(settings.log_level, "nightjar")
    settings = connected(settings, needs=("redis",))
    now = datetime.now(UTC)
    ranked, titles = asyncio.run(_ranked(settings, kind, k, now, surface, category, by_category=by_category))
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "kind": kind.value,
                    "time": now.isoformat(),
                    "surface": surface,
                    "category": category,
                    "ranked_by": "category" if by_category else "item",
                    "ranking": [{"name": name, "score": score} for name, score in ranked],
                }
            )
        )
    elif not ranked:
        typer.echo("Nothing: no event that still counts has reached Redis.")
    else:
        Console().print(table(kind, ranked, titles, by_category=by_category))


async def _ranked(
    settings: Settings,
    kind: CounterKind,
    k: int,
    now: datetime,
    surface: str | None,
    category: str | None,
    *,
    by_category: bool,
) -> tuple[Sequence[tuple[str, float]], dict[str, str]]:
    """Names with scores, and the titles of those that are items and have one."""
    from services.features.trending import Window, top_categories, top_items
    from services.features.wiring import open_catalog, open_item_counters  # a second that other commands spare

    counters, catalog = open_item_counters(settings), open_catalog(settings)
    window = Window(kind, int(now.timestamp() * 1_000_000), surface)
    try:
        if by_category:
            return await top_categories(counters, catalog, window, k), {}
        ranked = await top_items(counters, catalog, window, k, category)
    finally:
        await counters.aclose()
    items = catalog.get([ItemId(item_id) for item_id, _ in ranked])
    return ranked, {item_id: item.title for item_id, item in items.items()}


def table(
    kind: CounterKind, ranked: Sequence[tuple[str, float]], titles: Mapping[str, str], *, by_category: bool
) -> Table:
    """For people; names and titles are whatever producers chose."""
    shown = Table("", "category" if by_category else "item", *([] if by_category else ["title"]), kind.value)
    for rank, (name, score) in enumerate(ranked, start=1):
        title = [] if by_category else [cell(titles.get(name, ""))]
        shown.add_row(str(rank), cell(name), *title, f"{score:,.2f}")
    return shown
