"""Nights, steps and the schedule as messages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.v1 import schedule_service_pb2 as wire
from services.domain.nights import StepRow, StepState
from services.domain.runs import Run, RunState

NIGHT_STATES: Final[Mapping[RunState, wire.NightState.ValueType]] = {
    RunState.RUNNING: wire.NIGHT_STATE_RUNNING,
    RunState.SUCCEEDED: wire.NIGHT_STATE_SUCCEEDED,
    RunState.REFUSED: wire.NIGHT_STATE_REFUSED,
    RunState.FAILED: wire.NIGHT_STATE_FAILED,
    RunState.TIMED_OUT: wire.NIGHT_STATE_TIMED_OUT,
}
STEP_STATES: Final[Mapping[StepState, wire.StepState.ValueType]] = {
    StepState.RUNNING: wire.STEP_STATE_RUNNING,
    StepState.DONE: wire.STEP_STATE_DONE,
    StepState.REFUSED: wire.STEP_STATE_REFUSED,
    StepState.FAILED: wire.STEP_STATE_FAILED,
    StepState.INTERRUPTED: wire.STEP_STATE_INTERRUPTED,
    StepState.ACCEPTED: wire.STEP_STATE_ACCEPTED,
}


def night(run: Run) -> wire.Night:
    return wire.Night(
        night_id=run.run_id,
        trigger=run.trigger,
        state=NIGHT_STATES[run.state],
        start_time=moment(run.start_time),
        end_time=moment(run.end_time),
        version=run.version or "",
        detail=run.detail,
    )


def step(row: StepRow) -> wire.NightStep:
    return wire.NightStep(
        name=row.name,
        state=STEP_STATES[row.state],
        attempts=max(row.attempts, 0),
        start_time=moment(row.start_time),
        end_time=moment(row.end_time),
        inputs=_struct(row.inputs),
        outputs=_struct(row.outputs),
        detail=row.detail,
        log_lines=row.log.splitlines(),
    )


def moment(time: datetime | None) -> Timestamp | None:
    """None stays unset."""
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def _struct(document: Mapping[str, Any] | None) -> Struct | None:
    if document is None:
        return None
    struct = Struct()
    struct.update(dict(document))
    return struct
