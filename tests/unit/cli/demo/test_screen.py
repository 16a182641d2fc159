"""What the demo shows fits a terminal of 80 columns, and what it proposes can be typed as it stands."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli.datasets import synthetic
from services.cli.demo.figures import Figures
from services.cli.demo.screen import Screen

FIGURES = Figures(
    events_sent=100_000,
    events_logged=100_000,
    model_version="20261123T171344.292Z-ee88",
    replies_by_version={"20261123T171344.292Z-ee88": 12_320, "20261123T171359.303Z-4750": 16_030},
    latency_ms={"p50": 4.8, "p99": 16.5},
    stage_seconds={"start": 21.9, "swap under load": 4.3},
)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "80")
    return Screen(human_output_on_stderr=False)


def test_the_proposed_commands_name_what_the_data_holds(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = synthetic(60, 60, 500, now=datetime(2026, 1, 1, tzinfo=UTC))
    screen.know(dataset)
    screen.summary(FIGURES, Path("/data/nightjar"))
    shown = capsys.readouterr().out
    assert f"nightjar recommend {dataset.events[-1].user_id} " in shown
    assert f"--user {dataset.events[-1].user_id} --item {dataset.items[0].item_id} --type view" in shown
    assert "the next demo needs another NIGHTJAR_HOME" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_sentences_wrap_within_their_indent(screen: Screen, capsys: pytest.CaptureFixture[str]) -> None:
    screen.explain("A sentence " + "that goes on " * 9)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("  ") and not line.startswith("   ") for line in lines)
