"""All that a Redis holds, for tests that compare two states key by key."""

from typing import Any

import redis


def client_of(url: str) -> Any:
    """A client of the server, or of the whole Cluster that the address is a node of."""
    single = redis.Redis.from_url(url)
    if not single.info("cluster")["cluster_enabled"]:
        return single
    single.close()
    return redis.RedisCluster.from_url(url)


def state_of(url: str, pattern: str = "*") -> dict[str, Any]:
    """What every key that matches holds."""
    with client_of(url) as client:
        return {key.decode(): _value(client, key) for key in client.scan_iter(pattern, count=1_000)}


def _value(client: Any, key: bytes) -> Any:
    kind = client.type(key)
    if kind == b"zset":
        return dict(client.zrange(key, 0, -1, withscores=True))
    if kind == b"set":
        return client.smembers(key)
    if kind == b"hash":
        return client.hgetall(key)
    return client.get(key)
