"""Who has a history: the keys of Redis walked through, of a Cluster those of every primary."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, Final

import redis
from redis.exceptions import RedisClusterException

from services.adapters.redis_store.keys import HISTORIES, user_of_history
from services.domain.errors import FeatureStoreDown
from services.domain.ids import UserId

KEYS_A_STEP: Final = 1_000  # larger: Redis answers nobody else for longer, a millisecond here; smaller: more trips


class RedisUserLister:
    """Implements the UserLister port.

    SCAN gives a key twice while a table grows, so each user is remembered: about 100 bytes each. While an operator
    moves a Cluster's slots, it may pass over users that move.
    """

    def __init__(self, url: str, timeout_s: float = 5.0) -> None:
        self._url = url
        self._timeouts = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}

    def users(self) -> Iterator[Sequence[UserId]]:
        given: set[int] = set()
        try:
            for keys in self._steps():
                named = (user for key in keys if (user := user_of_history(key)) is not None)
                fresh = []
                for user in named:
                    if (mark := hash(user)) not in given:  # 64 bits: two of ten million share one once in 400,000 runs
                        given.add(mark)
                        fresh.append(user)
                if fresh:
                    yield fresh
        except (redis.RedisError, RedisClusterException, OSError) as error:
            raise FeatureStoreDown(f"Redis did not say who has a history: {error}") from error

    def _steps(self) -> Iterator[list[bytes]]:
        single: Any = redis.Redis.from_url(self._url, **self._timeouts)
        with closing(single):
            if not single.info("cluster").get("cluster_enabled"):
                yield from _walk(single)
                return
        cluster: Any = redis.RedisCluster.from_url(self._url, **self._timeouts)
        with closing(cluster):
            for node in cluster.get_primaries():
                yield from _walk(cluster.get_redis_connection(node))


def _walk(client: Any) -> Iterator[list[bytes]]:
    cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=HISTORIES, count=KEYS_A_STEP)
        yield keys
        if cursor == 0:
            return
