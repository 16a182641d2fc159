"""Loads of one host come one after another, but none waits for ever."""

from pathlib import Path

import pytest

from services.inference.turns import PATIENCE_S, POLL_S, in_turn


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "run" / "loading.lock"


def test_one_at_a_time(lock: Path) -> None:
    pauses: list[float] = []

    def the_first_ends(pause_s: float) -> None:
        pauses.append(pause_s)
        first.__exit__(None, None, None)

    first = in_turn(lock)
    first.__enter__()
    with in_turn(lock, the_first_ends):
        assert pauses == [POLL_S]
    with in_turn(lock, pauses.append):
        assert pauses == [POLL_S], "who left is not waited for"


def test_one_that_hangs_is_not_waited_for_beyond_patience(lock: Path) -> None:
    pauses: list[float] = []
    with in_turn(lock), in_turn(lock, pauses.append):
        assert sum(pauses) == pytest.approx(PATIENCE_S)


def test_a_load_that_fails_makes_room(lock: Path) -> None:
    pauses: list[float] = []
    with pytest.raises(ValueError, match="broken"), in_turn(lock):
        raise ValueError("broken")
    with in_turn(lock, pauses.append):
        assert pauses == []


def test_where_no_lock_can_be_made_loads_go_on(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    with in_turn(tmp_path / "run" / "loading.lock"):
        pass
