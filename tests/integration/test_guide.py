"""The guide's page on sending does what it says: every fenced block is run, top to bottom, against a real stack."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from deltalake import DeltaTable

from deploy.embedded import background, state
from deploy.embedded.ports import any_free
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.ingest.codec import Limits, decode_event
from services.settings import Settings
from tests.integration.guide_pages import GUIDE, Reader, blocks
from tests.waiting import wait_until

PAGE = GUIDE / "send-your-events.md"


@pytest.fixture
def reader(tmp_path: Path, kafka_tools: Path) -> Iterator[Reader]:
    kafka, gateway, serve = any_free(), any_free(), any_free()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
    own = {
        "PATH": f"{kafka_tools}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "NIGHTJAR_HOME": str(tmp_path / "home"),
        "NIGHTJAR_CACHE": str(Settings().cache_folder),
        "NIGHTJAR_SERVE__PORT": str(serve),
        "NIGHTJAR_GATEWAY__PORT": str(gateway),
        "NIGHTJAR_INGEST__COMMIT_INTERVAL_S": "0.5",
    }
    yield Reader({**inherited, **own}, {"9092": str(kafka), "50052": str(gateway)}, tmp_path)
    background.stop(Settings(home=tmp_path / "home"))


@pytest.mark.kafka
@pytest.mark.timeout(400)
def test_every_block_of_send_your_events_runs(reader: Reader) -> None:
    page = blocks(PAGE.read_text(encoding="utf-8"))
    *runnable, last = [block for block in page if block.language != "json"]
    settings = Settings(home=Path(reader.environment["NIGHTJAR_HOME"]))
    said = "".join(map(reader.run, runnable))
    assert "DeliveryReport(record_id=" in said
    assert "stored at " in said
    assert said.count(" stored ") >= 2
    assert "PUBLISH_STATUS_INVALID" in said

    def users() -> Counter[str]:
        if not DeltaTable.is_deltatable(str(settings.log_folder)):
            return Counter()
        rows = DeltaTable(settings.log_folder).to_pyarrow_table(columns=["user_id"]).to_pylist()
        return Counter(row["user_id"] for row in rows)

    wait_until(lambda: users().total() >= 8, timeout_s=30, what="the log has what was sent")
    assert users() == {"ann": 2, "ben": 2, "cleo": 1, "dora": 2, "emil": 1}
    summary = reader.run(last)
    assert "unknown_type" in summary
    assert not state.read(settings.home_folder).running


def test_the_pages_event_is_one() -> None:
    (block,) = (block for block in blocks(PAGE.read_text(encoding="utf-8")) if block.language == "json")
    record = Record(Partition("t", 0), 0, block.text.encode())
    event = decode_event(record, DEFAULT_EVENT_TYPES, Limits(65_536, 0), 1_800_000_000_000_000)
    assert not isinstance(event, DeadLetter), event
    assert len(json.loads(block.text)) == 7


def test_the_page_names_every_reason_and_every_default_type() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for word in (*(reason.value for reason in DeadReason), *DEFAULT_EVENT_TYPES.names()):
        assert f"`{word}`" in page, word


@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=lambda page: page.stem)
def test_no_block_escapes_the_run(page: Path) -> None:
    """Every fence of every page has a language that is run or decoded."""
    text = page.read_text(encoding="utf-8")
    assert {block.language for block in blocks(text)} <= {"sh", "python", "json"}
    assert text.count("```") == 2 * len(blocks(text)) > 0


@pytest.mark.parametrize("page", sorted(GUIDE.glob("*.md")), ids=lambda page: page.stem)
def test_what_is_said_to_be_json_is_json(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.language == "json":
            json.loads(block.text)
