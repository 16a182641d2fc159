"""The one interceptor around every call of all four kinds: errors become statuses, and each call is counted."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
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


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Put it first, so that nothing is raised outside of it."""

    def __init__(self, recorder: CallRecorder, max_calls: int | None = None) -> None:
        """max_calls: at once, streams among them; one more is refused as Overloaded. None: any number."""
        self._recorder = recorder
        self._max_calls = max_calls
        self._num_running = 0
        self._wrapped: dict[str, tuple[Any, _Handler]] = {}
        """By method: its handler, and that wrapped. As many as there are methods, and made once each."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Wraps the method's handler in one of the same kind; an unknown method stays without one."""
        handler = await continuation(handler_call_details)
        if handler is None:  # a method nobody serves: its name, chosen by the caller, must not become a label either
            return None
        method = str(handler_call_details.method)
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = handler, self._wrap(handler, method)
        return known[1]

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
            response_serializer=handler.response_serializer,
        )

    def _awaiting(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        """For unary replies, and for streams that a coroutine writes itself."""

        async def call(request: Any, context: _Context) -> Any:
            async with self._guard(method, context):
                return await behaviour(request, context)

        return call

    def _generating(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Any]:
        async def call(request: Any, context: _Context) -> AsyncIterator[Any]:
            async with self._guard(method, context):
                async for reply in behaviour(request, context):
                    yield reply

        return call

    @asynccontextmanager
    async def _guard(self, method: str, context: _Context) -> AsyncIterator[None]:
        start = time.perf_counter()
        word = StatusCode.OK.name
        self._num_running += 1
        try:
            if self._max_calls is not None and self._num_running > self._max_calls:
                raise Overloaded(f"More than {self._max_calls} calls are being answered; try again in a moment.")
            yield
        except grpc.aio.AbortError:
            word = _word(context.code())
            raise
        except asyncio.CancelledError:
            word = StatusCode.CANCELLED.name
            raise
        except Exception as error:  # noqa: BLE001 - the outermost frame of a call
            status = _status_of(error, method)
            word = status.code.name
            await context.abort_with_status(status)
        finally:
            self._num_running -= 1
            self._recorder.request(method, word, time.perf_counter() - start)


def _status_of(error: Exception, method: str) -> grpc.Status:
    if isinstance(error, NightjarError):
        return domain_status(error)
    correlation_id = uuid4().hex
    log.error("call_failed", method=method, correlation_id=correlation_id, exc_info=error)
    return unknown_status(correlation_id)


def _word(code: object) -> str:
    """grpc.aio gives the code of an aborted call as a number or as a StatusCode."""
    return code.name if isinstance(code, StatusCode) else _WORDS.get(code, StatusCode.UNKNOWN.name)  # type: ignore[call-overload]
