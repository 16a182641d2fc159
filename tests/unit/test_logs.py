"""Logging: one line an event, with the process's name, to whatever standard error is at that moment."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services import logs


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info", "writer")
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_json_with_its_fields_and_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    structlog.get_logger().info("events_logged", rows=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["rows"], line["process"], line["level"]) == ("events_logged", 3, "writer", "info")
    assert "timestamp" in line


def test_a_stream_that_was_closed_meanwhile_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    log = structlog.get_logger()
    monkeypatch.setattr("sys.stderr", closed := io.StringIO())
    log.info("first")
    closed.close()
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    log.info("second")
    logging.getLogger("library").warning("third")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["second", "third"]


def test_less_severe_lines_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream := io.StringIO())
    structlog.get_logger().debug("detail")
    logging.getLogger("library").info("chatter")
    assert stream.getvalue() == ""
