"""Every state of a night and a step has a word on the wire, and times that are not there stay unset."""

from datetime import UTC, datetime

import pytest
from google.protobuf.json_format import MessageToDict

from nightjar.v1 import schedule_service_pb2 as wire
from scheduler.rpc import on_the_wire
from services.domain.nights import StepRow, StepState
from services.domain.runs import Run, RunState

NOW = datetime(2026, 1, 31, 2, tzinfo=UTC)


@pytest.mark.parametrize("state", RunState)
def test_every_state_of_a_night_has_its_word(state: RunState) -> None:
    sent = on_the_wire.night(Run(3, "night", "schedule", NOW, state))
    assert wire.NightState.Name(sent.state) == f"NIGHT_STATE_{state.name}"
    assert (sent.HasField("end_time"), sent.version) == (False, "")


@pytest.mark.parametrize("state", StepState)
def test_every_state_of_a_step_has_its_word(state: StepState) -> None:
    sent = on_the_wire.step(StepRow(3, "pin", state, 1, NOW))
    assert wire.StepState.Name(sent.state) == f"STEP_STATE_{state.name}"
    assert not sent.HasField("outputs")


def test_what_a_step_found_arrives_whole() -> None:
    outputs = {"figures": {"a": {"ndcg": 0.25}}, "champion": None, "passed": True, "names": ["x", 1]}
    sent = on_the_wire.step(StepRow(3, "evaluate", StepState.DONE, 1, NOW, NOW, {}, outputs, log="one\ntwo"))
    assert MessageToDict(sent.outputs) == outputs
    assert list(sent.log_lines) == ["one", "two"]
    assert sent.end_time.ToDatetime(UTC) == NOW
