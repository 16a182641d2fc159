"""The guide's page on the night does what it says: every block with commands is run after a real scheduler's night."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.guide_pages import GUIDE, Reader, blocks
from tests.integration.scheduler_home import WELL, Home

PAGE = GUIDE / "what-happens-at-night.md"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path, f"sqlite:///{tmp_path / 'catalog.db'}")
    home.fill_log()
    yield home
    home.end_all()


def test_every_command_of_the_page_works_and_the_steps_are_those_of_a_night(home: Home) -> None:
    page = PAGE.read_text()
    home.ready(home.start(WELL))
    for _ in range(2):
        assert home.command("nights", "run-now", "--wait")["state"] == "succeeded", home.log.read_text()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    reader = Reader({**home.environment, "PATH": path}, {}, home.folder)
    for block in blocks(page):
        if block.language == "sh":
            reader.run(block)
    shown = json.loads((home.folder / "night.json").read_text())
    assert [f"| `{step['name'].replace(':nightly', ':NAME')}` |" in page for step in shown["steps"]] == [True] * 12
