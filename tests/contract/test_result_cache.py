"""The ResultCache port: what was put comes back, and a failing cache is a miss."""

import uuid

import pytest
import redis

from services.adapters.redis_store import RedisResultCache, RedisStore
from services.domain.ids import UserId
from services.domain.ports import ResultCache
from tests.fakes.result_cache import FakeResultCache

ADA = UserId("ada")
REDIS = ("redis_url", "redis_cluster_url")


@pytest.fixture(params=["fake", *(pytest.param(name, marks=pytest.mark.redis) for name in REDIS)])
def cache(request: pytest.FixtureRequest) -> ResultCache:
    if request.param == "fake":
        return FakeResultCache()
    return RedisResultCache(RedisStore(request.getfixturevalue(request.param), timeout_s=5), ttl_s=60)


async def test_what_was_put_comes_back_as_it_was(cache: ResultCache) -> None:
    key = uuid.uuid4().bytes
    assert await cache.get(ADA, key) is None
    await cache.put(ADA, key, b"\x00\xff answer")
    assert await cache.get(ADA, key) == b"\x00\xff answer"
    await cache.put(ADA, key, b"newer")
    assert await cache.get(ADA, key) == b"newer"


@pytest.mark.redis
async def test_every_entry_is_forgotten_in_time(redis_url: str) -> None:
    """Law 9: the cache is bounded by the life of its entries."""
    key = uuid.uuid4().bytes
    await RedisResultCache(RedisStore(redis_url, timeout_s=5), ttl_s=7).put(ADA, key, b"answer")
    assert 0 < redis.Redis.from_url(redis_url).ttl(b"nj:{ada}:a:" + key) <= 7


async def test_a_cache_that_is_gone_is_a_miss_and_no_error() -> None:
    cache = RedisResultCache(RedisStore("redis://127.0.0.1:1/0", timeout_s=0.2), ttl_s=60)
    await cache.put(ADA, b"key", b"value")
    assert await cache.get(ADA, b"key") is None
