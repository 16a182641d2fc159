"""The figures of an evaluation as tables for people: one model, its slices, its replayed days."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.table import Table

from services.cli.terminal import cell

FIGURES: Final[Mapping[str, str]] = {
    "users": "users asked about",
    "hr_at_10": "HR@10",
    "ndcg_at_10": "NDCG@10",
    "recall_at_20": "Recall@20",
    "ndcg_at_20": "NDCG@20",
    "mrr_at_10": "MRR@10",
    "map_at_10": "MAP@10",
    "coverage": "coverage",
    "novelty": "novelty, bits",
    "gini": "Gini of exposure",
    "miscalibration": "miscalibration, nats",
    "frozen_ndcg_at_10": "NDCG@10 if frozen",
    "gain": "gain over frozen",
    "popularity_ndcg_at_10": "NDCG@10 of 7 days' popularity",
    "popularity_gain": "gain over popularity",
    "full_ndcg_at_10": "NDCG@10 if from nothing",
    "full_gain": "gain of that over tonight's",
    "full_fit_seconds": "seconds to fit from nothing",
    "fit_seconds": "seconds to fit",
    "peak_rss_mib": "most memory, MiB",
}
"""What the table shows, in this order, and by which name."""


SLICES: Final[Mapping[str, str]] = {
    "name": "slice",
    "num_users": "users",
    "num_targets": "targets",
    "hr_at_10": "HR@10",
    "ndcg_at_10": "NDCG@10",
}
DAYS: Final[Mapping[str, str]] = {
    "date": "day",
    "users": "users",
    "ndcg_at_10": "NDCG@10",
    "frozen_ndcg_at_10": "frozen",
    "popularity_ndcg_at_10": "popularity",
    "fit_seconds": "seconds to fit",
}


def tables(figures: Mapping[str, Any]) -> Iterator[Table]:
    """Those that there are figures for."""
    yield _figures(figures)
    if figures.get("slices"):
        yield _lines("by slice, each target by itself", SLICES, figures["slices"])
    if figures.get("days"):
        yield _lines("by day", DAYS, figures["days"])


def _figures(figures: Mapping[str, Any]) -> Table:
    """One a line, each with its interval if it has one."""
    table = Table(title=f"{figures['model']} under {figures['protocol']}", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("95% interval")
    for name, title in FIGURES.items():
        if figures.get(name) is not None:
            table.add_row(title, _written(figures[name]), _interval(figures, name))
    return table


def _lines(title: str, columns: Mapping[str, str], lines: Sequence[Mapping[str, Any]]) -> Table:
    """A line each; the first column is words, the others are numbers, NDCG@10 with its interval if it has one."""
    table = Table(title=title, title_justify="left")
    for place, heading in enumerate(columns.values()):
        table.add_column(heading, justify="right" if place else "left")
    with_interval = any("ndcg_at_10_ci" in line for line in lines)
    if with_interval:
        table.add_column("95% interval")
    for line in lines:
        values = [_written(line[name]) for name in columns]
        table.add_row(*values, *([_interval(line, "ndcg_at_10")] if with_interval else []))
    return table


def _interval(figures: Mapping[str, Any], name: str) -> str:
    low, high = figures.get(f"{name}_ci", (None, None))
    return "" if low is None or high is None else f"{_written(low)} to {_written(high)}"


def _written(value: float | str) -> str:
    """Counts whole, shares with four digits, what is large with one."""
    if isinstance(value, str):
        return cell(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if value >= 10 else f"{value:.4f}"
