"""The guide's pages do what they say: every fenced block is run, top to bottom, against a real stack."""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from deltalake import DeltaTable

from deploy.embedded import background, state
from deploy.embedded.ports import any_free
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.ingest.codec import Limits, decode_event
from services.settings import Settings
from tests.waiting import wait_until

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "send-your-events.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(language, text) for language, text in FENCE.findall(page)]


@dataclass(frozen=True)
class Reader:
    """Someone who copies each block into a shell or a file, on a machine with other ports than the page's."""

    environment: Mapping[str, str]
    ports: Mapping[str, str]
    folder: Path

    def run(self, block: Block) -> str:
        text = block.text
        for written, ours in self.ports.items():
            text = text.replace(written, ours)
        commands = {"sh": ["bash", "-euo", "pipefail", "-c", text], "python": [sys.executable, "-c", text]}
        done = subprocess.run(
            commands[block.language],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout


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


def test_no_block_escapes_the_run() -> None:
    """Every fence has a language that is run or decoded."""
    page = PAGE.read_text(encoding="utf-8")
    assert {block.language for block in blocks(page)} == {"sh", "python", "json"}
    assert page.count("```") == 2 * len(blocks(page))
