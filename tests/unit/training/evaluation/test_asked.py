"""Settings and a command line become what an evaluation does."""

from pathlib import Path

import pytest

from services.domain.errors import InvalidSettings
from services.settings import TrainSettings
from services.training.evaluation.asked import Asked, changed


def test_changes_go_over_the_settings_and_the_last_one_counts() -> None:
    train = changed(TrainSettings(dim=32, dropout=0.5), ["dropout=0.1", "kind=popularity", "dropout=0.3"])
    assert (train.dim, train.dropout, train.kind) == (32, 0.3, "popularity")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("dropout", "must be FIELD=VALUE"),
        ("=3", "must be FIELD=VALUE"),
        ("dropout=3", "dropout: .*less than 1"),
        ("dropout=much", "dropout: .*number"),
        ("teapot=1", "teapot: "),
        ("num_heads=7", "together: .*must divide dim"),
        ("teapot.spout=1", "teapot: "),
    ],
)
def test_a_change_that_is_none_says_why(change: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        changed(TrainSettings(), [change])


def test_a_field_of_a_field_without_fields_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="dim has no fields"):
        changed(TrainSettings(dim=32), ["dim.spout=1"])


def test_the_length_of_a_history_is_asked_for_only_if_somebody_set_it() -> None:
    """Also when other things are changed, and also when it was set to what it is by default."""
    unset = changed(TrainSettings(), ["dim=32"])
    by_default = changed(TrainSettings(), [f"max_history={TrainSettings().max_history}"])
    assert Asked(Path(), "P1", unset).max_history is None
    assert Asked(Path(), "P1", by_default).max_history == TrainSettings().max_history
    assert Asked(Path(), "P1", TrainSettings(max_history=7)).max_history == 7


def test_a_replay_trains_in_full_unless_somebody_set_how() -> None:
    assert Asked(Path(), "P3", TrainSettings(), 14).mode == "full"
    assert Asked(Path(), "P3", changed(TrainSettings(), ["mode=incremental"]), 14).mode == "incremental"


@pytest.mark.parametrize(("protocol", "days"), [("P1", 14), ("P2", 1), ("P3", -1)])
def test_a_replay_goes_by_days(protocol: str, days: int) -> None:
    with pytest.raises(InvalidSettings, match="--protocol P3"):
        Asked(Path(), protocol, TrainSettings(), days)


@pytest.mark.parametrize(("days", "changes"), [(0, ["mode=auto"]), (14, []), (14, ["mode=full"])])
def test_a_comparison_with_nights_in_full_needs_nights_that_are_not(days: int, changes: list[str]) -> None:
    with pytest.raises(InvalidSettings, match="--set mode=auto"):
        Asked(Path(), "P3", changed(TrainSettings(), changes), days, beside_full=True)
