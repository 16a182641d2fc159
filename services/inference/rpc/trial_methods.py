"""The part of ModelService that is about trials. What they mean is decided by the registry; wiring hands that in."""

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Protocol

import grpc
from google.protobuf.duration_pb2 import Duration

from nightjar.v1 import trial_pb2 as wire
from services.domain.errors import InvalidRequest
from services.domain.ids import ModelVersion
from services.domain.trials import ModelTrial, TrialFigures, TrialKind
from services.domain.vitals import Vitals
from services.inference.rpc import validation
from services.inference.rpc.models_on_the_wire import timestamp

_KINDS: Final[Mapping[wire.TrialKind.ValueType, TrialKind]] = {
    wire.TRIAL_KIND_CANARY: TrialKind.CANARY,
    wire.TRIAL_KIND_SHADOW: TrialKind.SHADOW,
}
_ON_THE_WIRE: Final = {kind: number for number, kind in _KINDS.items()}
_USUAL_SHARE: Final[Mapping[TrialKind, float]] = {TrialKind.CANARY: 0.05, TrialKind.SHADOW: 1.0}
DEFAULT_PAGE_SIZE: Final = 5
MAX_PAGE_SIZE: Final = 50


class Start(Protocol):
    """Begins a trial, or changes its share; blocks. Never None unless asked for a dry run."""

    def __call__(
        self, kind: TrialKind, version: ModelVersion, *, share: float, actor: str, override_reason: str
    ) -> ModelTrial | None: ...


class End(Protocol):
    """Ends a trial; None when there was none. Blocks."""

    def __call__(self, kind: TrialKind, actor: str, reason: str) -> ModelTrial | None: ...


class Status(Protocol):
    """A trial and what came of it, in the words of the registry's `TrialStatus`."""

    @property
    def trial(self) -> ModelTrial: ...
    @property
    def begin_time(self) -> datetime | None: ...
    @property
    def figures(self) -> TrialFigures: ...
    @property
    def num_workers(self) -> int: ...
    @property
    def num_holding(self) -> int: ...
    @property
    def problems(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class TrialDesk:
    """What can be done with trials. newest: at most so many, those that go on first; blocks."""

    start: Start
    end: End
    newest: Callable[[int], Sequence[Status]]


class TrialMethods:
    """StartTrial, EndTrial and ListTrials; the registry is asked in a thread, since it blocks."""

    def __init__(self, trials: TrialDesk) -> None:
        self._trials = trials

    async def StartTrial(  # noqa: N802 - the contract's name
        self, request: wire.StartTrialRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.StartTrialResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        kind, version = _kind(request.kind), validation.version(request.version)
        begin = partial(
            self._trials.start,
            kind,
            version,
            share=request.share if request.HasField("share") else _USUAL_SHARE[kind],
            actor=validation.actor(request.actor),
            override_reason=request.override_reason,
        )
        made = await asyncio.to_thread(begin)
        return wire.StartTrialResponse(trial=None if made is None else _trial(made))

    async def EndTrial(  # noqa: N802 - the contract's name
        self, request: wire.EndTrialRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.EndTrialResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        kind, actor = _kind(request.kind), validation.actor(request.actor)
        ended = await asyncio.to_thread(self._trials.end, kind, actor, request.reason)
        return wire.EndTrialResponse(trial=None if ended is None else _trial(ended))

    async def ListTrials(  # noqa: N802 - the contract's name
        self, request: wire.ListTrialsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.ListTrialsResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        limit = request.page_size if request.HasField("page_size") else DEFAULT_PAGE_SIZE
        if not 1 <= limit <= MAX_PAGE_SIZE:
            raise InvalidRequest("page_size", f"is {limit}; 1 to {MAX_PAGE_SIZE} are allowed")
        found = await asyncio.to_thread(self._trials.newest, limit)
        return wire.ListTrialsResponse(trials=[_status(each) for each in found])


def _kind(value: wire.TrialKind.ValueType) -> TrialKind:
    if value not in _KINDS:
        raise InvalidRequest("kind", "must be TRIAL_KIND_CANARY or TRIAL_KIND_SHADOW")
    return _KINDS[value]


def _trial(trial: ModelTrial) -> wire.Trial:
    return wire.Trial(
        kind=_ON_THE_WIRE[trial.kind],
        version=trial.version,
        share=trial.share,
        number=trial.number,
        first_number=trial.first,
        actor=trial.actor,
        reason=trial.reason,
        is_override=trial.override,
        change_time=timestamp(trial.change_time),
    )


def _status(status: Status) -> wire.TrialStatus:
    is_canary = status.trial.kind is TrialKind.CANARY
    figures, likeness = status.figures, status.figures.likeness
    return wire.TrialStatus(
        trial=_trial(status.trial),
        trial_side=_side(figures.of_trial),
        live_side=_side(figures.of_live) if is_canary else None,
        overlap_at_10=likeness.overlap_at_10,
        num_compared=likeness.num_compared,
        num_dropped=likeness.num_dropped,
        num_workers=status.num_workers,
        num_holding=status.num_holding,
        problems=status.problems,
        begin_time=timestamp(status.begin_time),
    )


def _side(vitals: Vitals) -> wire.TrialSide:
    p99 = None
    if vitals.num_calls and math.isfinite(vitals.p99_s):
        p99 = Duration()
        p99.FromTimedelta(timedelta(seconds=vitals.p99_s))
    return wire.TrialSide(
        num_calls=vitals.num_calls, num_failed=vitals.num_failed, num_degraded=vitals.num_degraded, p99=p99
    )
