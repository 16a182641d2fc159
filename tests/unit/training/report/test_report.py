"""The training report: everything is in one file, nothing that others wrote is markup, and nobody is named."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from services.domain.ids import ItemId
from services.training.data.dataset import Dataset
from services.training.evaluation.holdout import Measurement, measured
from services.training.evaluation.ranking import NOTHING
from services.training.kinds.popularity import Popularity
from services.training.model import EpochReport
from services.training.report.examples import NUM_EXAMPLES, examples
from services.training.report.report import Run, exposure_curve, write_report
from services.training.report.text import said, signed, written

EPOCHS = [EpochReport(number, 3, 5.0 - number, 0.1 * number, 1e4, float(number)) for number in (1, 2, 3)]
EVIL = '<script src="https://evil.example/x.js">alert(1)</script>&"\''


@pytest.fixture(scope="module")
def model(planted: Dataset) -> Popularity:
    model = Popularity()
    model.fit(planted, lambda _: None)
    return model


@pytest.fixture(scope="module")
def measurement(planted: Dataset, model: Popularity) -> Measurement:
    return measured(model, planted, 12, seed=1)


class Page(HTMLParser):
    """Reads a page, and knows what it opens and says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_the_page_has_every_part(planted: Dataset, model: Popularity, measurement: Measurement, tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", Run("v1", model, planted, measurement, 12, EPOCHS, {"seed": "3"}))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for part in ("Figures on the holdout", "Training", "Slices", "Coverage", "Users, and what they are shown", "seed"):
        assert part in text
    assert text.count("<svg") == 4
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_nothing_is_fetched_and_nothing_runs(
    planted: Dataset, model: Popularity, measurement: Measurement, tmp_path: Path
) -> None:
    """Whatever items are called; and the page forbids it besides."""
    titles = dict.fromkeys(planted.vocabulary.item_ids, EVIL)
    write_report(tmp_path / "report.html", Run(EVIL, model, planted, measurement, 12, EPOCHS, {EVIL: EVIL}, titles))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert {tag for tag, _ in page.opened}.isdisjoint({"script", "img", "link", "iframe", "a", "object"})
    assert not any(name in attributes for _, attributes in page.opened for name in ("src", "href", "onload", "style"))
    assert "default-src 'none'" in text
    assert EVIL in "".join(page.said)  # as text


def test_nobody_is_named(planted: Dataset, model: Popularity, measurement: Measurement, tmp_path: Path) -> None:
    """A report outlives an erasure, and must have nothing to erase."""
    write_report(tmp_path / "report.html", Run("v1", model, planted, measurement, 12, EPOCHS))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"user-\d", text)


def test_a_kind_without_epochs_says_so(
    planted: Dataset, model: Popularity, measurement: Measurement, tmp_path: Path
) -> None:
    write_report(tmp_path / "report.html", Run("v1", model, planted, measurement, 12))
    assert "without epochs" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_is_replaced_whole(
    planted: Dataset, model: Popularity, measurement: Measurement, tmp_path: Path
) -> None:
    for title in ("first", "second"):
        write_report(tmp_path / "report.html", Run(title, model, planted, measurement, 12))
    assert "<h1>second</h1>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_examples_show_what_was_evaluated(planted: Dataset, model: Popularity, measurement: Measurement) -> None:
    """The same lists, best first, with what was chosen marked in them and named beside them."""
    found = examples(model, planted, measurement.found, 12, {})
    assert 0 < len(found) <= NUM_EXAMPLES
    for example in found:
        scores = [each.score for each in example.shown]
        assert scores == sorted(scores, reverse=True)
        assert [each.name for each in example.shown if each.is_chosen] == [
            each.name for each in example.shown if each.name in example.chosen
        ]
        assert example.chosen
        assert 0 < len(example.newest) <= example.num_known <= 12


def test_items_go_by_their_titles_where_they_have_one(
    planted: Dataset, model: Popularity, measurement: Measurement
) -> None:
    found = examples(model, planted, measurement.found, 12, {ItemId("item-0-0"): "The first"})
    names = {each.name for example in found for each in example.shown} | {
        name for example in found for name in (*example.newest, *example.chosen)
    }
    assert "item-0-0" not in names
    assert names & set(planted.vocabulary.item_ids)


def test_the_curve_of_an_even_exposure_is_straight_and_of_one_item_flat_to_the_end() -> None:
    assert exposure_curve(np.array([[0, 1], [2, 3]]), 4) == [0, 0.25, 0.5, 0.75, 1]
    assert exposure_curve(np.array([[2, NOTHING], [2, NOTHING]]), 4) == [0, 0, 0, 0, 1]
    assert exposure_curve(np.full((1, 2), NOTHING), 2) == [0, 0, 0]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.1235"), (0.0, "0.0000"), (6040, "6,040"), (1234.5, "1,234.5"), (float("nan"), "–"), (1.0, "1")],
)
def test_figures_are_short(value: float, text: str) -> None:
    assert written(value) == text


def test_text_is_one_short_line_that_can_be_shown() -> None:
    assert (
        said("a\nb\x00<i>\ud800")
        == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}&lt;i&gt;\N{REPLACEMENT CHARACTER}"
    )
    assert len(said("x" * 10_000)) == 120
    assert said("x" * 10_000).endswith("…")
    assert (signed(0.1), signed(-0.1), signed(float("inf"))) == ("+0.1000", "-0.1000", "–")
