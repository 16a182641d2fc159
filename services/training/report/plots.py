"""Plots as SVG made by hand, so that a report is one file that opens anywhere, years from now, without a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.training.report.text import said, written

WIDTH: Final = 460
HEIGHT: Final = 230
LEFT: Final = 58
RIGHT: Final = 14
TOP: Final = 14
BOTTOM: Final = 36
NUM_TICKS: Final = 5
MAX_DOTS: Final = 60  # larger: dots hide the line
LABEL_WIDTH: Final = 210
BAR_HEIGHT: Final = 26


@dataclass(frozen=True)
class Axes:
    """Where a value is on the picture; the ends may not be equal."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - TOP - BOTTOM)


@dataclass(frozen=True)
class Bar:
    name: str
    value: float
    low: float
    high: float


def line_plot(
    title: str, x_name: str, xs: Sequence[float], ys: Sequence[float], *, marked: int | None = None, even: bool = False
) -> str:
    """One line through points; those that are no numbers are left out. Empty without a point.

    marked: the place of a point to be marked. even: the diagonal is drawn, too.
    """
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if not points:
        return ""
    axes = _axes(points, from_zero=even)
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)
    parts = [_grid(axes, x_name)]
    if even:
        parts.append(_line(axes.x(0), axes.y(0), axes.x(1), axes.y(1), "even"))
    parts.append(f'<polyline class="line" points="{path}"/>')
    for x, y in points if len(points) <= MAX_DOTS else ():
        parts.append(f'<circle class="dot" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="2.5"/>')
    if marked is not None and math.isfinite(ys[marked]):
        x, y = axes.x(xs[marked]), axes.y(ys[marked])
        parts.append(f'<circle class="best" cx="{x:.1f}" cy="{y:.1f}" r="6"/>')
    return _picture(title, HEIGHT, "".join(parts))


def bar_plot(title: str, bars: Sequence[Bar]) -> str:
    """A bar each, one below the other, with its interval; empty without bars."""
    if not bars:
        return ""
    most = max([bar.high for bar in bars] + [bar.value for bar in bars]) or 1.0
    scale = (WIDTH - LABEL_WIDTH - 60) / most
    parts = []
    for place, bar in enumerate(bars):
        middle, end = TOP + (place + 0.5) * BAR_HEIGHT, LABEL_WIDTH + bar.value * scale
        low, high = LABEL_WIDTH + bar.low * scale, LABEL_WIDTH + bar.high * scale
        parts += [
            f'<text class="name" x="{LABEL_WIDTH - 8}" y="{middle + 4:.1f}">{said(bar.name)}</text>',
            f'<rect class="bar" x="{LABEL_WIDTH}" y="{middle - 8:.1f}" width="{end - LABEL_WIDTH:.1f}" height="16"/>',
            _line(low, middle, high, middle, "interval"),
            f'<text class="value" x="{max(end, high) + 6:.1f}" y="{middle + 4:.1f}">{written(bar.value)}</text>',
        ]
    return _picture(title, TOP * 2 + len(bars) * BAR_HEIGHT, "".join(parts))


def ticks(low: float, high: float) -> list[float]:
    """A few round values from low to high."""
    rough = (high - low) / NUM_TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _axes(points: Sequence[tuple[float, float]], *, from_zero: bool) -> Axes:
    if from_zero:
        return Axes(0.0, 1.0, 0.0, 1.0)
    (x_low, x_high), (y_low, y_high) = (_span([point[part] for point in points]) for part in (0, 1))
    return Axes(x_low, x_high, y_low, y_high)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """The ends, apart from one another also when all values are the same, or nearly."""
    low, high = min(values), max(values)
    if high - low > 1e-9 * max(abs(low), abs(high), 1e-9):
        return low, high
    room = max(abs(low) * 0.1, 0.5)
    return low - room, high + room


def _grid(axes: Axes, x_name: str) -> str:
    parts = []
    for value in ticks(axes.y_low, axes.y_high):
        y = axes.y(value)
        parts += [_line(LEFT, y, WIDTH - RIGHT, y, "grid"), f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}">']
        parts.append(f"{value:g}</text>")
    for value in ticks(axes.x_low, axes.x_high):
        parts.append(f'<text class="tick low" x="{axes.x(value):.1f}" y="{HEIGHT - BOTTOM + 16}">{value:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text class="tick low" x="{middle:.1f}" y="{HEIGHT - 4}">{said(x_name)}</text>')
    return "".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _picture(title: str, height: float, inside: str) -> str:
    drawn = f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{said(title)}">{inside}</svg>'
    return f"<figure><figcaption>{said(title)}</figcaption>{drawn}</figure>"
