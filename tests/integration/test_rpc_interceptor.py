"""The interceptor on a real gRPC server, for all four kinds of call: the same errors, the same count."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from structlog.testing import capture_logs

from services.domain.errors import ModelNotReady
from services.rpc.interceptor import CallInterceptor
from services.rpc.recorder import CallRecorder

KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
FAULTS: dict[bytes, Exception] = {
    b"domain": ModelNotReady("No model is loaded yet."),
    b"unforeseen": ZeroDivisionError("secret detail"),
}


def answer(request: bytes) -> bytes:
    """Echoes, or fails as the request asks."""
    if request in FAULTS:
        raise FAULTS[request]
    return request


async def unary_unary(request: bytes, context: Any) -> bytes:
    return answer(request)


async def unary_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b"first"
    yield answer(request)


async def stream_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return b",".join([answer(request) async for request in requests])


async def stream_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield answer(request)


HANDLERS: dict[str, Callable[..., Any]] = {
    "unary_unary": unary_unary,
    "unary_stream": unary_stream,
    "stream_unary": stream_unary,
    "stream_stream": stream_stream,
}


class Recorder(CallRecorder):
    def __init__(self) -> None:
        super().__init__()
        self.has_counted = asyncio.Event()

    def request(self, method: str, code: str, seconds: float) -> None:
        super().request(method, code, seconds)
        self.has_counted.set()


class Bench:
    """Calls a method of one kind with one request and returns the last reply."""

    def __init__(self, channel: grpc.aio.Channel, recorder: Recorder) -> None:
        self._channel = channel
        self.recorder = recorder

    async def call(self, kind: str, request: bytes) -> bytes:
        argument = iter([request]) if kind.startswith("stream") else request
        call: Any = getattr(self._channel, kind)(f"/test.Echo/{kind}")(argument)
        if kind.endswith("unary"):
            return bytes(await call)
        return [bytes(reply) async for reply in call][-1]

    async def counted(self, kind: str, code: StatusCode) -> float:
        """Once the server has counted the call: its client may hear the end of it first."""
        async with asyncio.timeout(10):
            await self.recorder.has_counted.wait()
        return self.recorder.value("nightjar_requests_total", method=f"/test.Echo/{kind}", code=code.name)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    recorder = Recorder()
    server = grpc.aio.server(interceptors=[CallInterceptor(recorder)])
    handlers = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(HANDLERS[kind]) for kind in KINDS}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Bench(channel, recorder)
    await server.stop(grace=1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_good_call_passes_unchanged(bench: Bench, kind: str) -> None:
    assert await bench.call(kind, b"hello") == b"hello"
    assert await bench.counted(kind, StatusCode.OK) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_of_the_system_gets_its_status(bench: Bench, kind: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.call(kind, b"domain")
    assert (raised.value.code(), raised.value.details()) == (StatusCode.UNAVAILABLE, "No model is loaded yet.")
    assert await bench.counted(kind, StatusCode.UNAVAILABLE) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_unforeseen_exception_stays_inside_but_for_a_correlation_id(bench: Bench, kind: str) -> None:
    with capture_logs() as lines, pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.call(kind, b"unforeseen")
    assert raised.value.code() is StatusCode.INTERNAL
    logged = [line for line in lines if line["event"] == "call_failed"]
    assert [line["exc_info"] for line in logged] == [FAULTS[b"unforeseen"]]
    sentence = raised.value.details() or ""
    assert logged[0]["correlation_id"] in sentence
    assert "secret" not in sentence
    assert await bench.counted(kind, StatusCode.INTERNAL) == 1
