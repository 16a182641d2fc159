"""A study is of one version of the log and one choice of settings; another one is said, not mixed in."""

from dataclasses import replace
from typing import Any

import pytest

from services.domain.errors import InvalidRequest
from services.domain.tuning import Study
from services.training.tuning.study import opened
from tests.fakes.clock import START, FakeClock
from tests.fakes.tuning_trials import FakeTuningTrials

WANTED = Study("shop", "sequence", 42, 12, 0, 0, {"max_epochs": 30}, START)


def ends(version: int) -> tuple[int, int]:
    return 100 * version, 200 * version


def not_asked(version: int) -> tuple[int, int]:
    raise AssertionError("the log is read for a new study only")


@pytest.fixture
def trials() -> FakeTuningTrials:
    trials = FakeTuningTrials(FakeClock())
    opened(trials, WANTED, ends)
    return trials


def test_a_study_that_goes_on_keeps_its_split(trials: FakeTuningTrials) -> None:
    assert opened(trials, WANTED, not_asked) == replace(WANTED, fit_end_us=1_200, cut_us=2_400)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data_version": 15}, "is of version 12 of the log, not 15; .* --data-version 12"),
        ({"kind": "ease"}, "kind sequence, now ease"),
        ({"seed": 1}, "seed 42, now 1"),
        ({"fixed": {"max_epochs": 10, "patience": 2}}, "max_epochs 30, now 10; patience None, now 2"),
    ],
)
def test_what_does_not_compare_is_refused_unless_it_gets_a_name_of_its_own(
    trials: FakeTuningTrials, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        opened(trials, replace(WANTED, **changes), not_asked)
    assert refused.value.field == "--study"
    assert opened(trials, replace(WANTED, name="another", **changes), ends).name == "another"
