"""Cost against quality of a version's plans as an SVG picture, by hand: a point a plan, a line along the frontier.

The frontier is of those served: no other is both cheaper and better.
"""

from collections.abc import Sequence
from html import escape
from typing import Final

from services.domain.plans import PlanFigures, PlanRow, PlanTable

WIDTH: Final = 720
HEIGHT: Final = 420
MARGIN: Final = 70
STYLE: Final = 'font-family="sans-serif" font-size="12"'


def frontier(rows: Sequence[PlanRow]) -> list[PlanRow]:
    """The served plans that none beats in both, the cheapest first."""
    served = [(row.figures, row) for row in rows if row.figures is not None and row.plan.is_served]
    served.sort(key=lambda pair: (pair[0].answer_core_us, -pair[0].ndcg_at_10))
    found: list[PlanRow] = []
    best = float("-inf")
    for figures, row in served:
        if figures.ndcg_at_10 > best:
            found.append(row)
            best = figures.ndcg_at_10
    return found


def frontier_svg(plans: PlanTable) -> str:
    measured = [(row, row.figures) for row in plans.rows if row.figures is not None]
    scale = _Scale([figures for _, figures in measured])
    line = [scale.place(row.figures) for row in frontier(plans.rows) if row.figures is not None]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" {STYLE}>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 20}" text-anchor="middle">microseconds of a core an answer '
        f"({scale.costs[0]:,.0f} to {scale.costs[1]:,.0f})</text>",
        f'<text x="20" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 20 {HEIGHT / 2})">NDCG@10 '
        f"({scale.qualities[0]:.4f} to {scale.qualities[1]:.4f})</text>",
        f'<path d="M {MARGIN} {MARGIN} V {HEIGHT - MARGIN} H {WIDTH - MARGIN}" fill="none" stroke="black"/>',
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in line)}" fill="none" stroke="steelblue"/>',
    ]
    for row, figures in measured:
        x, y = scale.place(figures)
        colour = "seagreen" if row.plan == plans.chosen else "steelblue" if row.plan.is_served else "grey"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        name = f"{row.plan.encoder}, {row.plan.precision}, {row.plan.runtime}"
        end = "end" if x > WIDTH / 2 else "start"
        shift = -9 if end == "end" else 9
        parts.append(f'<text x="{x + shift:.1f}" y="{y - 8:.1f}" text-anchor="{end}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Scale:
    def __init__(self, figures: Sequence[PlanFigures]) -> None:
        self.costs = _ends([each.answer_core_us for each in figures])
        self.qualities = _ends([each.ndcg_at_10 for each in figures])

    def place(self, figures: PlanFigures) -> tuple[float, float]:
        along = _share(figures.answer_core_us, self.costs)
        up = _share(figures.ndcg_at_10, self.qualities)
        return MARGIN + along * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return (min(values), max(values)) if values else (0.0, 0.0)


def _share(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return (value - low) / (high - low) if high > low else 0.5
