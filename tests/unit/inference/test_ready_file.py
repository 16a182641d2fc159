import json
from pathlib import Path

import pytest

from services.domain.errors import StartFailed
from services.inference.ready_file import ReadyFile


def test_it_is_there_exactly_while_ready(tmp_path: Path) -> None:
    path = tmp_path / "run" / "ready.json"
    ready = ReadyFile(path)
    ready.prepare()
    assert not path.exists()
    ready.announce(50051)
    assert json.loads(path.read_text()) == {"port": 50051}
    assert list(path.parent.iterdir()) == [path]
    ready.remove()
    assert not path.exists()


def test_a_leftover_of_an_earlier_run_does_not_say_ready(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text('{"port": 1}')
    ReadyFile(path).prepare()
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match=r"ready\.json"):
        ReadyFile(tmp_path / "file" / "ready.json").prepare()


def test_without_a_path_nothing_is_written() -> None:
    ready = ReadyFile(None)
    ready.prepare()
    ready.announce(1)
    ready.remove()
