"""`nightjar models diff`: two versions beside one another."""

import json
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.state import connected
from services import logs
from services.bundle_wiring import open_bundles
from services.cli.model_words import json_number, number, printed
from services.cli.terminal import cell
from services.domain.bundles import VOCABULARY
from services.domain.errors import BundleBroken, BundleStoreDown
from services.domain.ids import ItemId, ModelVersion
from services.domain.model_differences import Differences, differences
from services.domain.models import Model
from services.domain.ports import BundleStore
from services.domain.vocabulary import Vocabulary
from services.settings import load


@dataclass(frozen=True, slots=True)
class Overlap:
    """Of the items that two versions know."""

    num_first: int
    num_second: int
    num_shared: int

    @property
    def share(self) -> float:
        """Of the items of either that both know, 0 to 1."""
        return self.num_shared / max(1, self.num_first + self.num_second - self.num_shared)


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A version, as `nightjar models list` shows it.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Shows what two versions have not in common: settings, data, figures, and the items they know.

    The items are those of the bundles, so both must be readable; where one is not, that is said. Exit status 0 whatever
    differs.

    Example: nightjar models diff VERSION_A VERSION_B
    """
    from services.registry.wiring import open_registry  # a second of imports that --help spares

    settings = load()
    logs.configure(settings.log_level, "nightjar")
    settings = connected(settings, needs=())
    registry, bundles = open_registry(settings), open_bundles(settings)
    one, other = (registry.get(ModelVersion(version)) for version in (first, second))
    found = differences(one, other)
    try:
        overlap, why = overlap_of(bundles, one, other), ""
    except (BundleBroken, BundleStoreDown) as error:
        overlap, why = None, str(error)
    if as_json:
        typer.echo(json.dumps(_document(one, other, found, overlap, why)))
    else:
        _print(one, other, found, overlap, why)


def overlap_of(bundles: BundleStore, first: Model, second: Model) -> Overlap:
    """Fetches both, verified; raises BundleBroken and BundleStoreDown."""
    ours, theirs = (_items(bundles, each) for each in (first, second))
    return Overlap(len(ours), len(theirs), len(ours & theirs))


def _items(bundles: BundleStore, model: Model) -> frozenset[ItemId]:
    path = bundles.fetch(model.location) / VOCABULARY
    try:
        return frozenset(Vocabulary.from_json(path.read_text(encoding="utf-8")).item_ids)
    except (OSError, UnicodeDecodeError) as error:
        raise BundleBroken(f"{path} cannot be read: {error}") from error


def _document(one: Model, other: Model, found: Differences, overlap: Overlap | None, why: str) -> dict[str, Any]:
    return {
        "first": one.version,
        "second": other.version,
        "settings": [asdict(each) for each in found.settings],
        "data": [asdict(each) for each in found.data],
        "metrics": [
            {
                "name": each.name,
                "first": json_number(each.first),
                "second": json_number(each.second),
                "difference": json_number(each.difference),
            }
            for each in found.metrics
        ],
        "vocabulary": None if overlap is None else asdict(overlap) | {"share": overlap.share},
        "vocabulary_unknown_because": why,
    }


def _print(one: Model, other: Model, found: Differences, overlap: Overlap | None, why: str) -> None:
    console = Console(highlight=False)
    for title, apart in (("Settings and code", found.settings), ("Data", found.data)):
        table = Table(title, cell(one.version), cell(other.version))
        for each in apart:
            table.add_row(*(cell(printed(text)) for text in (each.name, each.first, each.second)))
        console.print(table if apart else f"{title}: nothing differs.")
    metrics = Table("Metrics", cell(one.version), cell(other.version), "difference")
    for two in found.metrics:
        apart_by = "" if two.difference == 0 else f"{two.difference:+.4f}"
        metrics.add_row(two.name, number(two.first), number(two.second), apart_by)
    console.print(metrics)
    if overlap is None:
        console.print(f"Items: unknown, since a bundle cannot be read: {cell(why)}", soft_wrap=True)
    else:
        console.print(
            f"Items: {overlap.num_shared:,} in both, of {overlap.num_first:,} and {overlap.num_second:,} "
            f"({overlap.share:.1%} of all).",
            soft_wrap=True,
        )
