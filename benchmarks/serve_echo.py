"""The bare servers that `benchmarks.serve` holds a worker against: an echo of as many items as are asked for.

`python -m benchmarks.serve_echo ENGINE [--redis URL]`: prints its port and serves until it is ended. With --redis each
call does one GET first, with redis.asyncio, as anybody would write it.
"""

import argparse
import asyncio
from typing import Any, Final

import grpc
import redis.asyncio
import uvloop

from nightjar.v1 import recommender_service_pb2 as wire
from services.inference.rpc.engines import new_server

RECOMMEND: Final = "/nightjar.v1.RecommenderService/Recommend"
KEY: Final = "benchmark"


async def serve(engine: Any, redis_url: str | None) -> None:
    client = None if redis_url is None else redis.asyncio.Redis.from_url(redis_url)

    async def answer(request: wire.RecommendRequest, _: Any) -> wire.RecommendResponse:
        """Items are made anew for each call, as those of an answer are."""
        if client is not None:
            await client.get(KEY)
        items = [wire.ScoredItem(item_id=str(number), score=0.5, rank=number) for number in range(1, request.k + 1)]
        return wire.RecommendResponse(model_version="v1", items=items)

    server = new_server(engine)
    handler = grpc.unary_unary_rpc_method_handler(
        answer, wire.RecommendRequest.FromString, wire.RecommendResponse.SerializeToString
    )
    service, method = RECOMMEND[1:].split("/")
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    server.add_registered_method_handlers(service, {method: handler})  # both, as generated code does
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["grpcio", "native"])
    parser.add_argument("--redis", help="address of the Redis that each call asks")
    options = parser.parse_args()
    uvloop.run(serve(options.engine, options.redis))
