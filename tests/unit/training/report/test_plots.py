"""Plots are well-formed SVG whatever the figures are."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training.report.plots import Bar, bar_plot, line_plot, ticks

FINITE = st.floats(-1e9, 1e9)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (1, 6, [1, 2, 3, 4, 5, 6]), (0.012, 0.031, [0.015, 0.02, 0.025, 0.03])],
)
def test_ticks_are_round_and_within(low: float, high: float, expected: Sequence[float]) -> None:
    assert ticks(low, high) == expected


def test_a_line_goes_through_its_points() -> None:
    """The lowest value is at the bottom and the highest at the top, from left to right."""
    root = ElementTree.fromstring(line_plot("Loss", "epoch", [1, 2, 3], [6.0, 5.0, 4.0], marked=2))  # noqa: S314 - ours
    line = root.find(".//polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert [y for _, y in points] == sorted(y for _, y in points)  # down the page
    best = root.find(".//circle[@class='best']")
    assert best is not None
    assert (float(best.attrib["cx"]), float(best.attrib["cy"])) == points[2]


@given(st.lists(st.tuples(FINITE, st.floats()), max_size=20))
def test_any_figures_make_a_picture_or_none(points: list[tuple[float, float]]) -> None:
    """NaN and infinity are left out; one point and equal points have room around them."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    drawn = line_plot("any", "x", xs, [y if abs(y) < 1e9 else math.nan for y in ys], marked=0 if points else None)
    if drawn:
        text = ElementTree.tostring(ElementTree.fromstring(drawn), encoding="unicode")  # noqa: S314 - ours
        assert "nan" not in text
        assert "inf" not in text
    else:
        assert not any(abs(y) < 1e9 for y in ys)


def test_bars_of_nothing_and_of_zeros_are_drawn() -> None:
    assert bar_plot("none", []) == ""
    root = ElementTree.fromstring(bar_plot("zeros", [Bar("all", 0.0, 0.0, 0.0)]))  # noqa: S314 - ours
    bar = root.find(".//rect")
    assert bar is not None
    assert float(bar.attrib["width"]) == 0.0


def test_a_bar_is_as_long_as_its_value() -> None:
    root = ElementTree.fromstring(bar_plot("two", [Bar("a", 0.2, 0.1, 0.3), Bar("b", 0.1, 0.1, 0.1)]))  # noqa: S314
    first, second = (float(bar.attrib["width"]) for bar in root.iter("rect"))
    assert first == pytest.approx(2 * second, abs=0.2)
