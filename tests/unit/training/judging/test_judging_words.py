"""What is asked, and what is written: refused or said in one line."""

import json
from pathlib import Path

import pytest

from services.domain.errors import InvalidRequest, TrainingFailed
from services.domain.ids import ModelVersion
from services.training.judging import document
from services.training.judging.asked import Asked

A, B = ModelVersion("a"), ModelVersion("b")


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="--data-version"):
        Asked(-1, [A])
    with pytest.raises(InvalidRequest, match="each once"):
        Asked(0, [A, B, A])
    with pytest.raises(InvalidRequest, match="at least one"):
        Asked(0, [])


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """In a folder that is made for it; what a killed process left is written over."""
    path = tmp_path / "of" / "tonight" / "out.json"
    document.write(path, {"figure": 1.5})
    (path.parent / ".out.json.tmp").write_text("half of")
    document.write(path, {"figure": 2.5})
    assert json.loads(path.read_text(encoding="utf-8")) == {"figure": 2.5}
    assert list(path.parent.iterdir()) == [path]


def test_a_place_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingFailed, match="cannot be written"):
        document.write(tmp_path / "file" / "out.json", {})
