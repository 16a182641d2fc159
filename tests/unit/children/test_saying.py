"""What a child says at its end, whichever it is."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import structlog

from services.children.saying import parsed, said_to_its_end
from services.domain.errors import NotEnoughData


@pytest.fixture
def no_logs_yet() -> Iterator[None]:
    """As in a process that has only begun; other tests of this one have set logs up."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


def test_what_is_done_is_said_with_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_to_its_end("check", lambda: {"passed": True}) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "done", "passed": True}


@pytest.mark.usefixtures("no_logs_yet")
def test_what_failed_is_said_with_its_reason_and_no_other_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Also before logs are set up, when a library would write them to standard output."""

    def fail() -> Mapping[str, Any]:
        raise NotEnoughData("The log has one event.")

    assert said_to_its_end("check", fail) == 1
    said = {"event": "failed", "reason": "NOT_ENOUGH_DATA", "message": "The log has one event."}
    assert json.loads(capsys.readouterr().out) == said


def test_who_only_assists_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert said_to_its_end("training", lambda: None) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("line", ["no JSON", "[1]", '"text"', ""])
def test_what_is_no_object_is_nothing_said(line: str) -> None:
    assert parsed(line) == {}
