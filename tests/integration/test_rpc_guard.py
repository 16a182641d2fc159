"""The guard on a real gRPC server, for all four kinds of call: the same errors, the same count."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from structlog.testing import capture_logs

from services.domain.errors import ModelNotReady
from services.inference.rpc.engines import Engine, new_server
from services.rpc.guard import CallGuard
from services.rpc.recorder import CallRecorder

MAX_CALLS = 3
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


class Gate:
    """Where calls that ask to wait do so until it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self._arrived = asyncio.Semaphore(0)

    async def wait(self) -> None:
        self._arrived.release()
        await self.opened.wait()

    async def are_waiting(self, num_calls: int) -> None:
        async with asyncio.timeout(10):
            for _ in range(num_calls):
                await self._arrived.acquire()


async def unary_stream(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield b"first"
    yield answer(request)


async def stream_unary(requests: AsyncIterator[bytes], context: Any) -> bytes:
    return b",".join([answer(request) async for request in requests])


async def stream_stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield answer(request)


HANDLERS: dict[str, Callable[..., Any]] = {
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

    def __init__(self, channel: grpc.aio.Channel, recorder: Recorder, gate: Gate) -> None:
        self._channel = channel
        self.recorder = recorder
        self.gate = gate

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
async def bench(engine: Engine) -> AsyncIterator[Bench]:
    recorder = Recorder()
    server = new_server(engine)
    guarded = CallGuard(recorder, MAX_CALLS).around(server)
    gate = Gate()

    async def unary_unary(request: bytes, context: Any) -> bytes:
        if request == b"wait":
            await gate.wait()
        return answer(request)

    behaviours = {"unary_unary": unary_unary, **HANDLERS}
    handlers = {kind: getattr(grpc, f"{kind}_rpc_method_handler")(behaviours[kind]) for kind in KINDS}
    guarded.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", handlers)])
    guarded.add_registered_method_handlers("test.Echo", handlers)  # both, as generated code does
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Bench(channel, recorder, gate)
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


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_one_call_too_many_is_refused_with_a_reason_and_counted(bench: Bench, kind: str) -> None:
    """And there is room again when one has ended."""
    waiting = [asyncio.ensure_future(bench.call("unary_unary", b"wait")) for _ in range(MAX_CALLS)]
    await bench.gate.are_waiting(MAX_CALLS)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.call(kind, b"hello")
    assert raised.value.code() is StatusCode.RESOURCE_EXHAUSTED
    assert await bench.counted(kind, StatusCode.RESOURCE_EXHAUSTED) == 1
    bench.gate.opened.set()
    assert await asyncio.gather(*waiting) == [b"wait"] * MAX_CALLS
    assert await bench.call(kind, b"hello") == b"hello"


async def test_a_call_whose_caller_is_gone_is_dropped_and_counted(bench: Bench) -> None:
    call = asyncio.ensure_future(bench.call("unary_unary", b"wait"))
    await bench.gate.are_waiting(1)
    call.cancel()
    assert await bench.counted("unary_unary", StatusCode.CANCELLED) == 1
