"""Models, their verdicts and what two have not in common, in the contract's messages."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.v1 import model_service_pb2 as wire
from services.domain.ids import ModelVersion
from services.domain.model_differences import Differences, Different
from services.domain.models import Assignment, Model, ModelState

_STATES: Final[Mapping[ModelState, wire.ModelState.ValueType]] = {
    ModelState.REGISTERED: wire.MODEL_STATE_REGISTERED,
    ModelState.REFUSED: wire.MODEL_STATE_REFUSED,
    ModelState.PASSED: wire.MODEL_STATE_PASSED,
    ModelState.LIVE: wire.MODEL_STATE_LIVE,
}


def model(told: Model, live_version: ModelVersion | None) -> wire.Model:
    findings = () if told.verdict is None else told.verdict.findings
    return wire.Model(
        version=told.version,
        kind=told.kind,
        created_time=timestamp(told.created_time),
        data_version=told.data_version,
        metrics=told.metrics,
        state=_STATES[told.state(live_version)],
        findings=[finding.sentence for finding in findings],
        pin=None if told.pin is None else wire.ModelPin(actor=told.pin.actor, reason=told.pin.reason),
        deleted_time=timestamp(told.deleted_time),
        origin=told.origin,
        parent_version=told.parent or "",
    )


def everything_of(
    told: Model, changes: Sequence[Assignment], live_version: ModelVersion | None
) -> wire.GetModelResponse:
    how, findings = told.provenance, () if told.verdict is None else told.verdict.findings
    return wire.GetModelResponse(
        model=model(told, live_version),
        code_version=how.code_version,
        seed=how.seed,
        settings=json_format.ParseDict(dict(how.configuration), Struct()),
        first_event_time=timestamp(how.first_event_time),
        last_event_time=timestamp(how.last_event_time),
        costs=[
            wire.ModelCost(stage=stage, wall_s=cost.wall_s, cpu_s=cost.cpu_s, gpu_s=cost.gpu_s, energy_j=cost.energy_j)
            for stage, cost in how.cost.items()
        ],
        findings=[
            wire.ModelFinding(
                rule=each.rule,
                figure=each.figure,
                threshold=each.threshold,
                passed=each.passed,
                sentence=each.sentence,
            )
            for each in findings
        ],
        assignments=[_assignment(each) for each in changes],
        bundle_location=told.location,
        bundle_digest=told.digest,
    )


def apart(found: Differences) -> wire.DiffModelsResponse:
    return wire.DiffModelsResponse(
        settings=[_difference(each) for each in found.settings],
        data=[_difference(each) for each in found.data],
        metrics=[
            wire.ModelMetrics(name=each.name, first=_figure(each.first), second=_figure(each.second))
            for each in found.metrics
        ],
    )


def _assignment(told: Assignment) -> wire.ModelAssignment:
    return wire.ModelAssignment(
        generation=told.generation,
        actor=told.actor,
        reason=told.reason,
        change_time=timestamp(told.change_time),
        override=told.override,
        restored_generation=told.restores,
    )


def _difference(told: Different) -> wire.ModelDifference:
    return wire.ModelDifference(name=told.name, first=_value(told.first), second=_value(told.second))


def _value(told: Any) -> Value:
    return json_format.ParseDict(told, Value())


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else value


def timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
