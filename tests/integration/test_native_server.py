"""What the native engine would do wrong without `native_server`: calls kept for good, stops that wait for streams."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from services.inference.rpc.native_server import NativeServer

NUM_CALLS = 200


async def echo(request: bytes, context: Any) -> bytes:
    return request


async def endless(request: bytes, context: Any) -> AsyncIterator[bytes]:
    yield request
    await asyncio.Event().wait()


@pytest.fixture
async def server() -> NativeServer:
    server = NativeServer()
    methods: dict[str, Any] = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Endless": grpc.unary_stream_rpc_method_handler(endless),
    }
    server.add_registered_method_handlers("test.Echo", methods)
    return server


async def test_a_call_that_was_cancelled_before_it_began_is_forgotten(server: NativeServer) -> None:
    """Its deadline passes while the event loop is busy, so the call and its end are met in one turn."""
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    cancelled_early = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_unary("/test.Echo/Echo")
        for _ in range(NUM_CALLS // 20):
            calls = [asyncio.ensure_future(_code_of(method(b"x", timeout=0.002))) for _ in range(20)]
            await asyncio.sleep(0)
            busy_until = time.monotonic() + 0.01
            while time.monotonic() < busy_until:
                pass
            cancelled_early += (await asyncio.gather(*calls)).count(grpc.StatusCode.DEADLINE_EXCEEDED)
        assert cancelled_early, "else the test shows nothing"
        async with asyncio.timeout(10):
            while server._calls:  # noqa: ASYNC110 - nothing says when it is empty
                await asyncio.sleep(0)
    await server.stop(None)


async def test_a_stop_does_not_wait_for_streams(server: NativeServer) -> None:
    """While it waits, no new call is answered."""
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: Any = channel.unary_stream("/test.Echo/Endless")
        stream = method(b"x")
        assert await stream.read() == b"x"
        async with asyncio.timeout(30):
            await server.stop(grace=60)
        with pytest.raises(grpc.aio.AioRpcError):
            await stream.read()


async def _code_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
