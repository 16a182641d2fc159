"""The guide's page on files of events does what it says: every fenced block is run, top to bottom."""

import json
import os
import sys
from pathlib import Path

import pytest

from services.ingest.importing.csv_source import MAX_CELL_CHARS
from services.ingest.importing.importer import COMMIT_ROWS
from services.ingest.importing.mapping import FIELDS
from services.ingest.importing.sources import FORMATS
from tests.integration.guide_pages import GUIDE, Reader, blocks
from tests.redis_state import state_of

PAGE = GUIDE / "bring-your-history.md"


@pytest.mark.redis
def test_every_block_of_bring_your_history_runs(redis_url: str, tmp_path: Path) -> None:
    own_database = redis_url.removesuffix("/0") + "/11"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NIGHTJAR_HOME": str(tmp_path / "home"),
        "NIGHTJAR_REDIS__URL": own_database,
    }
    reader = Reader(inherited | own, {}, tmp_path)
    said = [reader.run(block) for block in blocks(PAGE.read_text(encoding="utf-8"))]
    _, tried, imported, report, exported, rebuilt = said
    for text in (tried, imported):
        assert "3 rows, 2 logged, 0 duplicates, 1 skipped" in text
    assert "nothing was written" in tried
    assert json.loads(report)["row"] == 2
    assert "1 events" in exported
    assert "1 rows, 0 logged, 1 duplicates, 0 skipped" in exported
    assert json.loads(rebuilt)["num_events"] == 2
    assert not any("ann" in key for key in state_of(own_database)), "as the page says of users of long ago"
    for_ever = {"NIGHTJAR_REDIS__HISTORY_TTL_S": "3153600000"}
    Reader(inherited | own | for_ever, {}, tmp_path).run(blocks(PAGE.read_text(encoding="utf-8"))[-1])
    assert any("ann" in key for key in state_of(own_database))


def test_the_page_names_every_field_format_and_bound() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for word in (*FIELDS, *FORMATS):
        assert f"`{word}`" in page, word
    assert f"{COMMIT_ROWS:,} rows" in page
    assert f"{MAX_CELL_CHARS:,} characters" in page
