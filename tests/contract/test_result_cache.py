"""The ResultCache port: what was put comes back, and a failing cache is a miss."""

import uuid

import pytest
import redis

from services.adapters.redis_store import RedisResultCache
from services.domain.ports import ResultCache
from tests.fakes.result_cache import FakeResultCache

REDIS = ("redis_url", "redis_cluster_url")


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.redis) for name in REDIS)])
def cache(request: pytest.FixtureRequest) -> ResultCache:
    if request.param == "fake":
        return FakeResultCache()
    return RedisResultCache(request.getfixturevalue(request.param), timeout_s=5, ttl_s=60)


async def test_what_was_put_comes_back_as_it_was(cache: ResultCache) -> None:
    key = uuid.uuid4().bytes
    assert await cache.get(key) is None
    await cache.put(key, b"\x00\xff answer")
    assert await cache.get(key) == b"\x00\xff answer"
    await cache.put(key, b"newer")
    assert await cache.get(key) == b"newer"


@pytest.mark.redis
async def test_every_entry_is_forgotten_in_time(redis_url: str) -> None:
    """Law 9: the cache is bounded by the life of its entries."""
    key = uuid.uuid4().bytes
    await RedisResultCache(redis_url, timeout_s=5, ttl_s=7).put(key, b"answer")
    assert 0 < redis.Redis.from_url(redis_url).ttl(b"nj:cache:" + key) <= 7


async def test_a_cache_that_is_gone_is_a_miss_and_no_error() -> None:
    cache = RedisResultCache("redis://127.0.0.1:1/0", timeout_s=0.2, ttl_s=60)
    await cache.put(b"key", b"value")
    assert await cache.get(b"key") is None
