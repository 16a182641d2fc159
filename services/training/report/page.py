"""The training report as one HTML page: plots, tables and examples; nothing is loaded from elsewhere, nothing runs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from services.training.evaluation.slices import Slice
from services.training.model import EpochReport
from services.training.report.examples import Example
from services.training.report.plots import Bar, bar_plot, line_plot
from services.training.report.text import said, signed, written

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1d2433;--dim:#667085;--paper:#fff;--rule:#e4e7ec;--main:#3056d3;--good:#12805c}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9f0;--dim:#98a2b3;--paper:#14171f;--rule:#2c3240;--main:#7b9bff;
--good:#4fd1a1}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1000px;margin:2rem auto;
padding:0 1rem}h1{margin-bottom:0}h2{margin-top:2.2rem;border-bottom:1px solid var(--rule)}p.dim,figcaption{
color:var(--dim)}table{border-collapse:collapse;margin:.8rem 0}td,th{padding:.25rem .8rem;text-align:right;
border-bottom:1px solid var(--rule);font-variant-numeric:tabular-nums}td:first-child,th:first-child{text-align:left}
figure{margin:.5rem 0;flex:1 1 400px;max-width:480px}.plots{display:flex;flex-wrap:wrap;gap:1rem}
svg{width:100%;height:auto}
.example{display:grid;grid-template-columns:1fr 1.3fr 1fr;gap:1.2rem;border-bottom:1px solid var(--rule);
padding:.6rem 0}
.example ol{margin:.2rem 0;padding-left:1.6rem}.example h3{margin:0;font-size:.85rem;color:var(--dim)}
.chosen{color:var(--good);font-weight:600}.score{color:var(--dim);float:right;padding-left:.6rem}li{overflow-wrap:anywhere}
svg text{font-size:11px;fill:var(--dim)}.tick{text-anchor:end}.tick.low{text-anchor:middle}.name{text-anchor:end}
.grid{stroke:var(--rule)}.line{fill:none;stroke:var(--main);stroke-width:2}.dot{fill:var(--main)}.best{fill:none;
stroke:var(--good);stroke-width:2}.bar{fill:var(--main)}.interval{stroke:var(--ink);stroke-width:1.5}
.even{stroke:var(--dim);stroke-dasharray:4 4}@media(max-width:700px){.example{grid-template-columns:1fr}}
"""
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""Of the page's content: whatever text slipped through, nothing is fetched and nothing runs."""

COMPARED: Final[Mapping[str, str]] = {
    "ndcg_at_10": "NDCG@10",
    "hr_at_10": "HR@10",
    "recall_at_20": "Recall@20",
    "mrr_at_10": "MRR@10",
    "coverage_at_10": "coverage",
    "novelty_at_10": "novelty, bits",
    "gini_at_10": "Gini of exposure",
}


def page(title: str, facts: Mapping[str, str], sections: Iterable[tuple[str, str]]) -> str:
    """sections: headings with what stands below, which is markup already; one without anything is left out."""
    told = "".join(f"<tr><td>{said(name)}</td><td>{said(value)}</td></tr>" for name, value in facts.items())
    parts = "".join(f"<h2>{said(heading)}</h2>{markup}" for heading, markup in sections if markup)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{said(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>{said(title)}</h1><table>{told}</table>{parts}</body></html>\n"
    )


def epoch_plots(epochs: Sequence[EpochReport]) -> str:
    """The loss, and the metric with its best epoch; for a kind without epochs a sentence."""
    if not epochs:
        return '<p class="dim">This kind is fitted at once, without epochs.</p>'
    numbers, ndcg = [float(each.epoch) for each in epochs], [each.valid_ndcg_at_10 for each in epochs]
    best = max(range(len(ndcg)), key=lambda place: ndcg[place])
    loss = line_plot("Loss, nats", "epoch", numbers, [each.loss for each in epochs])
    metric = line_plot("NDCG@10 on validation, the best epoch marked", "epoch", numbers, ndcg, marked=best)
    return f'<div class="plots">{loss}{metric}</div>'


def figures_table(figures: Mapping[str, float]) -> str:
    """The model beside popularity, and what it gains."""
    lines = "".join(
        f"<tr><td>{title}</td><td>{written(figures[name])}</td>"
        f"<td>{written(figures.get(f'popularity_{name}', math.nan))}</td></tr>"
        for name, title in COMPARED.items()
        if name in figures
    )
    gain, low, high = (signed(figures.get(f"ndcg_gain_at_10{end}", math.nan)) for end in ("", "_low", "_high"))
    return (
        f"<table><tr><th>figure</th><th>model</th><th>popularity</th></tr>{lines}</table>"
        f"<p>NDCG@10 over popularity: <strong>{gain}</strong>, 95% interval {low} to {high}.</p>"
    )


def slices_part(slices: Sequence[Slice]) -> str:
    """A plot of NDCG@10 with intervals, and a table of the rest."""
    if not slices:
        return ""
    bars = [Bar(each.name, each.ndcg_at_10, *each.ndcg_at_10_ci) for each in slices]
    lines = "".join(
        f"<tr><td>{said(each.name)}</td><td>{each.num_users:,}</td><td>{each.num_targets:,}</td>"
        f"<td>{written(each.hr_at_10)}</td><td>{written(each.ndcg_at_10)}</td></tr>"
        for each in slices
    )
    head = "<tr><th>slice</th><th>users</th><th>targets</th><th>HR@10</th><th>NDCG@10</th></tr>"
    return f"{bar_plot('NDCG@10, with 95% intervals', bars)}<table>{head}{lines}</table>"


def coverage_part(shares: Sequence[float], coverage: float) -> str:
    """The curve of places in lists over items, from the least shown to the most; shares: cumulative, from 0 to 1."""
    if len(shares) < 2:
        return ""
    xs = [place / (len(shares) - 1) for place in range(len(shares))]
    curve = line_plot("Share of all places that the least shown items have", "share of items", xs, shares, even=True)
    return f"<p>{coverage:.1%} of the items are in somebody's first ten.</p>{curve}"


def examples_part(examples: Sequence[Example]) -> str:
    return "".join(map(_example, examples))


def _example(example: Example) -> str:
    newest = "".join(f"<li>{said(name)}</li>" for name in example.newest)
    shown = "".join(
        f'<li{" class=chosen" if each.is_chosen else ""}><span class="score">{each.score:.3g}</span>'
        f"{said(each.name)}{' ✓' if each.is_chosen else ''}</li>"
        for each in example.shown
    )
    chosen = "".join(f"<li>{said(name)}</li>" for name in example.chosen)
    return (
        f'<div class="example"><div><h3>did: the last of {example.num_known:,} events</h3><ol>{newest}</ol></div>'
        f"<div><h3>is shown, with scores</h3><ol>{shown}</ol></div>"
        f"<div><h3>chose then</h3><ol>{chosen}</ol></div></div>"
    )
