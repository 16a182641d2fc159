"""What the demo is asked for is checked before anything is deleted or started."""

from pathlib import Path

import pytest

from services.cli.main import run


def test_more_synthetic_events_than_can_be_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("NIGHTJAR_HOME", str(home))
    with pytest.raises(SystemExit) as ended:
        run(["demo", "--dataset", "synthetic", "--users", "50", "--items", "50"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("nightjar: --events is 100000, too many for 50 users and 50 items")
    assert said.count("\n") == 1
    assert not home.exists()
