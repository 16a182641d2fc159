"""What is around every call of all four kinds: errors become statuses, and each call is counted and bounded.

It is put around a method when that is added to a server. gRPC's own interceptors are asked anew for each call, which
costs a call of asyncio more than all that is done here.
"""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeAlias
from uuid import uuid4

import grpc
import structlog
from grpc import StatusCode

from services.domain.errors import NightjarError, Overloaded
from services.rpc.errors import domain_status, unknown_status
from services.rpc.recorder import CallRecorder

log = structlog.get_logger(__name__)

_Context = grpc.aio.ServicerContext[Any, Any]
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # generic in its stubs, not when it runs
_WORDS = {code.value[0]: code.name for code in StatusCode}


class CallGuard:
    """Guards the methods of every service that is added to what `around` gives."""

    def __init__(self, recorder: CallRecorder, max_calls: int | None = None) -> None:
        """max_calls: at once, streams among them; one more is refused as Overloaded. None: any number."""
        self._recorder = recorder
        self._max_calls = max_calls
        self._num_running = 0

    def around(self, server: grpc.aio.Server) -> Any:
        """The server as generated code sees it, to add services to."""
        return _Registrar(server, self._wrap)

    def _wrap(self, handler: Any, method: str) -> _Handler:
        if handler.request_streaming:
            make = (grpc.stream_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler)
            behaviour = handler.stream_stream if handler.response_streaming else handler.stream_unary
        else:
            make = (grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler)
            behaviour = handler.unary_stream if handler.response_streaming else handler.unary_unary
        wrap = self._generating if inspect.isasyncgenfunction(behaviour) else self._awaiting
        return make[handler.response_streaming](
            wrap(behaviour, method),
            request_deserializer=handler.request_deserializer,
            response_serializer=_serializer(handler.response_serializer),
        )

    def _awaiting(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        """For unary replies, and for streams that a coroutine writes itself."""

        async def call(request: Any, context: _Context) -> Any:
            async with _Guard(self, method, context):
                return await behaviour(request, context)

        return call

    def _generating(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            async with _Guard(self, method, context):
                async for reply in behaviour(request, context):
                    yield reply

        return call

    def begun(self) -> None:
        """Raises Overloaded: an answer that comes too late helps nobody, and holds up those that could be in time."""
        self._num_running += 1
        if self._max_calls is not None and self._num_running > self._max_calls:
            raise Overloaded(f"More than {self._max_calls} calls are being answered; try again in a moment.")

    def ended(self, method: str, word: str, seconds: float) -> None:
        """word: of the call's status."""
        self._num_running -= 1
        self._recorder.request(method, word, seconds)


class _Registrar:
    """Takes the place of a server where services are added."""

    def __init__(self, server: grpc.aio.Server, wrap: Callable[[Any, str], Any]) -> None:
        self._server = server
        self._wrap = wrap

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        wrapped = {name: self._wrap(handler, f"/{service}/{name}") for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, wrapped),))
        self._server.add_registered_method_handlers(service, wrapped)

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Nothing: generated code adds every service in both ways, and the other one names its methods."""


class _Guard:
    """Around one call; no generator, which would cost each call more than its counting does."""

    __slots__ = ("_calls", "_context", "_method", "_start_s")

    def __init__(self, calls: CallGuard, method: str, context: _Context) -> None:
        self._calls = calls
        self._method = method
        self._context = context
        self._start_s = time.perf_counter()

    async def __aenter__(self) -> None:
        try:
            self._calls.begun()
        except Overloaded as error:
            await self.__aexit__(Overloaded, error, None)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        status = None
        if isinstance(error, grpc.aio.AbortError):
            word = _word(self._context.code())
        elif isinstance(error, asyncio.CancelledError):
            word = StatusCode.CANCELLED.name
        elif isinstance(error, Exception):
            status = _status_of(error, self._method)
            word = status.code.name
        else:
            word = StatusCode.OK.name
        self._calls.ended(self._method, word, time.perf_counter() - self._start_s)
        if status is not None:
            await self._context.abort_with_status(status)


def _serializer(serializer: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """A reply may be its bytes already."""
    if serializer is None:
        return None
    return lambda reply: reply if type(reply) is bytes else serializer(reply)


def _status_of(error: Exception, method: str) -> grpc.Status:
    if isinstance(error, NightjarError):
        return domain_status(error)
    correlation_id = uuid4().hex
    log.error("call_failed", method=method, correlation_id=correlation_id, exc_info=error)
    return unknown_status(correlation_id)


def _word(code: object) -> str:
    """grpc.aio gives the code of an aborted call as a number or as a StatusCode."""
    return code.name if isinstance(code, StatusCode) else _WORDS.get(code, StatusCode.UNKNOWN.name)  # type: ignore[call-overload]
