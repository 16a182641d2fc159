"""ScheduleService on the wire: checks requests and asks the nights' desk in a thread, since that blocks."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

import grpc
import structlog

from nightjar.v1 import schedule_service_pb2 as wire
from nightjar.v1.schedule_service_pb2_grpc import ScheduleServiceServicer
from scheduler.nights_desk import NightsDesk
from scheduler.rpc import on_the_wire
from services.domain.errors import InvalidRequest
from services.domain.ids import id_problem

SERVICE: Final = wire.DESCRIPTOR.services_by_name["ScheduleService"].full_name
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1_000
MAX_THREADS: Final = 8  # calls in work at once; larger: idle threads; smaller: a night that is begun holds others up
MAX_REASON_CHARS: Final = 1_000  # larger: an essay in a table; smaller: half a reason

_Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")

log = structlog.get_logger(__name__)


class ScheduleServicer(ScheduleServiceServicer):
    """Belongs to one event loop. See proto/nightjar/v1/schedule_service.proto for every method."""

    def __init__(self, desk: NightsDesk, nightly_cron: str, time_zone: str) -> None:
        self._desk = desk
        self._cron = nightly_cron
        self._time_zone = time_zone
        self._threads = ThreadPoolExecutor(MAX_THREADS, "schedule-rpc")

    def close(self) -> None:
        """Begins nothing more, and waits for what was begun; the desk's pause must have been told to end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def ListNights(self, request: wire.ListNightsRequest, context: _Context) -> wire.ListNightsResponse:  # noqa: N802 - the contract's name
        del context
        size = _page_size(request.page_size if request.HasField("page_size") else None)
        nights = await self._asked(partial(self._desk.newest, size + 1, _before(request.page_token)))
        token = str(nights[size - 1].run_id) if len(nights) > size else ""
        return wire.ListNightsResponse(nights=map(on_the_wire.night, nights[:size]), next_page_token=token)

    async def GetNight(self, request: wire.GetNightRequest, context: _Context) -> wire.GetNightResponse:  # noqa: N802
        del context
        night = await self._asked(partial(self._desk.night, _night_id(request)))
        steps = await self._asked(partial(self._desk.steps, night))
        return wire.GetNightResponse(night=on_the_wire.night(night), steps=map(on_the_wire.step, steps))

    async def RunNight(self, request: wire.RunNightRequest, context: _Context) -> wire.RunNightResponse:  # noqa: N802
        del context
        actor = _actor(request.actor)
        night = await self._asked(self._desk.run_now)
        log.info("night_asked_for", run_id=night.run_id, actor=actor)
        return wire.RunNightResponse(night=on_the_wire.night(night))

    async def ResumeNight(self, request: wire.ResumeNightRequest, context: _Context) -> wire.ResumeNightResponse:  # noqa: N802
        del context
        actor, reason = _actor(request.actor), request.accept_reason
        if len(reason) > MAX_REASON_CHARS:
            raise InvalidRequest("accept_reason", f"has {len(reason)} characters; {MAX_REASON_CHARS} are allowed")
        night = await self._asked(partial(self._desk.resume, _night_id(request), actor, reason))
        return wire.ResumeNightResponse(night=on_the_wire.night(night))

    async def PauseNights(self, request: wire.PauseNightsRequest, context: _Context) -> wire.PauseNightsResponse:  # noqa: N802
        del context
        actor = _actor(request.actor)
        await self._asked(self._desk.pause_nights)
        log.info("nights_paused", actor=actor)
        return wire.PauseNightsResponse(schedule=await self._schedule())

    async def ResumeNights(self, request: wire.ResumeNightsRequest, context: _Context) -> wire.ResumeNightsResponse:  # noqa: N802
        del context
        actor = _actor(request.actor)
        await self._asked(self._desk.resume_nights)
        log.info("nights_resumed", actor=actor)
        return wire.ResumeNightsResponse(schedule=await self._schedule())

    async def GetSchedule(self, request: wire.GetScheduleRequest, context: _Context) -> wire.GetScheduleResponse:  # noqa: N802
        del request, context
        return wire.GetScheduleResponse(schedule=await self._schedule())

    async def _schedule(self) -> wire.Schedule:
        planned = await self._asked(self._desk.planned)
        next_time = on_the_wire.moment(planned.next_time)
        return wire.Schedule(
            nightly_cron=self._cron, time_zone=self._time_zone, next_run_time=next_time, paused=planned.paused
        )

    async def _asked(self, question: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, question)


def _night_id(request: wire.GetNightRequest | wire.ResumeNightRequest) -> int | None:
    return request.night_id if request.HasField("night_id") else None


def _page_size(value: int | None) -> int:
    size = DEFAULT_PAGE_SIZE if value is None else value
    if not 1 <= size <= MAX_PAGE_SIZE:
        raise InvalidRequest("page_size", f"is {size}; 1 to {MAX_PAGE_SIZE} are allowed")
    return size


def _before(token: str) -> int | None:
    if not token:
        return None
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        raise InvalidRequest("page_token", "must be the next_page_token of an answer")
    return int(token)


def _actor(value: str) -> str:
    problem = id_problem(value)
    if problem is not None:
        raise InvalidRequest("actor", problem)
    return value
