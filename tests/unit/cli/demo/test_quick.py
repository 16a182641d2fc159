"""The demo trains for a minute, unless somebody wants more."""

import pytest

from services.cli.demo.quick import QUICK, quick
from services.settings import load


def test_what_nobody_set_is_small_and_what_somebody_set_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert quick(load()).train.max_epochs == QUICK["max_epochs"]
    monkeypatch.setenv("NIGHTJAR_TRAIN__MAX_EPOCHS", "20")
    train = quick(load()).train
    assert (train.max_epochs, train.dim) == (20, QUICK["dim"])
