"""Whoever waits for a process finds a whole ready file exactly while the process is ready."""

import json
from pathlib import Path

import pytest

from services.domain.errors import StartFailed
from services.ready_file import ReadyFile


def test_it_is_there_exactly_while_ready(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ready.json"
    with ReadyFile(path) as ready:
        assert not path.exists()
        ready.announce(port=50051)
        assert json.loads(path.read_text()) == {"port": 50051}
        assert list(path.parent.iterdir()) == [path]
    assert not path.exists()


def test_a_process_that_fails_is_not_ready_any_more(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"

    def run() -> None:
        with ReadyFile(path) as ready:
            ready.announce()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run()
    assert not path.exists()


def test_a_leftover_of_an_earlier_run_does_not_say_ready(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text('{"port": 1}')
    with ReadyFile(path):
        assert not path.exists()


def test_a_place_that_cannot_be_written_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match=r"ready\.json"), ReadyFile(tmp_path / "file" / "ready.json"):
        pass


def test_a_place_that_goes_away_is_said_when_ready_and_does_not_break_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with ReadyFile(folder / "ready.json") as ready:
        folder.rmdir()
        folder.touch()
        with pytest.raises(StartFailed, match=r"ready\.json"):
            ready.announce()


def test_without_a_path_nothing_is_written() -> None:
    with ReadyFile(None) as ready:
        ready.announce(port=1)
