"""What `nightjar data check` shows of the findings that its child process says."""

import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from services.cli.checking_run import run_check
from services.cli.data import allowed, figure, lines, table
from services.domain.errors import InvalidRequest, NotEnoughData, TrainingFailed
from services.settings import load

VOLUME = {
    "rule": "volume", "figure": 600.0, "usual": 2_000.0, "low": 1_200.0, "high": 6_000.0, "passed": False,
    "sentence": "600 events in the newest 24 hours; look where the others are.",
}  # fmt: skip
FUTURE = {
    "rule": "future", "figure": 0.001, "usual": None, "low": None, "high": 0.01, "passed": True, "sentence": "Some.",
}  # fmt: skip
YOUNG = {
    "rule": "type_drift", "figure": 0.0, "usual": None, "low": None, "high": None, "passed": True, "sentence": "Not.",
}  # fmt: skip
OUTCOME = {
    "event": "done", "passed": False, "data_version": 12, "num_events": 30_000,
    "newest_time": "2026-01-01T00:00:00+00:00", "findings": [VOLUME, FUTURE, YOUNG],
}  # fmt: skip


def shown(outcome: dict[str, Any]) -> str:
    console = Console(width=80, record=True, file=sys.stderr)
    console.print(table(outcome))
    return console.export_text()


def test_the_table_has_a_line_a_rule_in_its_unit() -> None:
    rows = [line for line in shown(OUTCOME).splitlines() if "│" in line]
    assert [word for word in rows[0].split() if word != "│"] == [
        "volume", "600", "2,000", "1,200", "to", "6,000", "broken",
    ]  # fmt: skip
    assert [word for word in rows[1].split() if word != "│"] == ["future", "0.1%", "up", "to", "1.0%", "passed"]
    assert [word for word in rows[2].split() if word != "│"] == ["type_drift", "0.000", "not", "judged"]


def test_broken_rules_are_told_in_full_and_the_last_line_is_what_it_comes_to() -> None:
    told, last = lines(OUTCOME)
    assert told == f"volume: {VOLUME['sentence']}"
    assert last == ("Version 12 of the log (30,000 events, newest 2026-01-01T00:00:00+00:00) is not fit to train on.")
    (fit,) = lines(OUTCOME | {"findings": [FUTURE, YOUNG]})
    assert fit.startswith("No rule is broken: version 12")
    assert fit.endswith("is fit to train on.")


def test_a_type_named_by_a_producer_does_nothing_to_a_terminal() -> None:
    odd = VOLUME | {"rule": "volume:[red]\x1b[2J", "sentence": "\x1b[2J gone"}
    assert "\x1b" not in shown(OUTCOME | {"findings": [odd]})
    assert "[red]" in shown(OUTCOME | {"findings": [odd]})
    assert "\x1b" not in "".join(lines(OUTCOME | {"findings": [odd]}))


@pytest.mark.parametrize(
    ("low", "high", "said"), [(None, None, ""), (1.0, None, "from 1"), (None, 2.0, "up to 2"), (1.0, 2.0, "1 to 2")]
)
def test_bounds_are_told_as_they_bind(low: float | None, high: float | None, said: str) -> None:
    assert allowed({"rule": "volume:view", "low": low, "high": high}) == said


@pytest.mark.parametrize(
    ("rule", "value", "said"),
    [
        ("users", 1234.0, "1,234"),
        ("popularity_drift", 0.25, "0.250"),
        ("freshness", 2.51, "2.5 h"),
        ("x", 0.5, "50.0%"),
    ],
)
def test_figures_have_their_rules_unit(rule: str, value: float, said: str) -> None:
    assert figure(rule, value) == said


@pytest.mark.parametrize(
    ("code", "error", "says"),
    [
        ("import json; print(json.dumps({'event': 'failed', 'reason': 'NOT_ENOUGH_DATA', 'message': 'No.'})); exit(1)",
         NotEnoughData, "No."),
        ("import json; print(json.dumps({'event': 'failed', 'reason': 'INVALID_REQUEST', 'message': '--as-of must'})); "
         "exit(1)", InvalidRequest, "--as-of must"),
        ("exit(3)", TrainingFailed, "ended with status 3"),
    ],
    ids=["known", "misused", "silent"],
)  # fmt: skip
def test_a_check_that_failed_raises_what_it_said(code: str, error: type[Exception], says: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=says):
        run_check(load(home=tmp_path), None, "", lambda _: None, [sys.executable, "-c", code])
