"""Redis as an operator looks at it: how far its counters are, and how it is set up. Writes nothing."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.adapters.redis_store.keys import directory_key, user_keys
from services.adapters.redis_store.nodes import Call, Nodes, Script
from services.domain.counters import shard_of
from services.domain.errors import FeatureStoreDown
from services.domain.streams import Partition
from services.domain.users import Erasure

TIMEOUT_S: Final = 2.0  # larger: a person waits longer to hear that it is away; smaller: a distant one looks dead

_FENCE: Final = Script("fence.lua")
_HELD: Final = Script("held.lua")


@dataclass(frozen=True, slots=True)
class RedisServer:
    """What a server says of itself."""

    version: str
    used_bytes: int
    eviction: str
    """Its maxmemory-policy."""


def fences(url: str, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
    """Where each partition's counters are to be read on from; 0 where Redis knows nothing of it.

    Blocks; raises FeatureStoreDown.
    """
    with closing(Nodes(url, TIMEOUT_S)) as nodes:
        found = nodes.run([Call(_FENCE, [directory_key(shard_of(each))], ()) for each in partitions])
    return {each: int(fence) for each, fence in zip(partitions, found, strict=True)}


def num_held(url: str, wish: Erasure) -> int:
    """History entries, consumed and shown items that are kept of a user up to their wish. Blocks; as `fences`."""
    keys = user_keys(wish.user_id)
    with closing(Nodes(url, TIMEOUT_S)) as nodes:
        (held,) = nodes.run([Call(_HELD, [keys.history, keys.consumed, keys.shown], (wish.request_time_us,))])
    return int(held)


def server(url: str) -> RedisServer:
    """The server at this address, of a Cluster one of its nodes. Blocks; raises FeatureStoreDown."""
    timeouts = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S}
    try:
        with closing(redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **timeouts)) as client:
            about = client.info()
            return RedisServer(
                version=str(about.get("valkey_version") or about["redis_version"]),
                used_bytes=int(about["used_memory"]),
                eviction=str(about.get("maxmemory_policy", "")),
            )
    except (redis.RedisError, OSError) as error:
        raise FeatureStoreDown(f"Redis does not answer ({error}); is it running and reachable?") from error
