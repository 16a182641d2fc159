"""The Notice and Notices ports: a notice wakes whoever waits for its kind; losing Redis only delays."""

import asyncio
import time

import pytest

from services.adapters.redis_store import (
    RedisAvailabilityNotice,
    RedisAvailabilityNotices,
    RedisLiveModelNotice,
    RedisLiveModelNotices,
)
from tests.redis_state import client_of

KINDS = [(RedisLiveModelNotice, RedisLiveModelNotices), (RedisAvailabilityNotice, RedisAvailabilityNotices)]
Sender = type[RedisLiveModelNotice] | type[RedisAvailabilityNotice]
Receiver = type[RedisLiveModelNotices] | type[RedisAvailabilityNotices]


@pytest.mark.redis
@pytest.mark.parametrize(("sender", "receiver"), KINDS)
async def test_a_notice_wakes_a_waiting_worker_long_before_its_timeout(
    redis_url: str, sender: Sender, receiver: Receiver
) -> None:
    notices, notice = receiver(redis_url), sender(redis_url, timeout_s=5)
    assert not await notices.wait(0.05)  # subscribes
    waiting = asyncio.create_task(notices.wait(30))
    await asyncio.to_thread(notice.announce, 7)
    assert await asyncio.wait_for(waiting, timeout=10)
    await notices.aclose()


@pytest.mark.redis
async def test_a_notice_reaches_those_who_wait_at_another_node_of_a_cluster(redis_cluster_url: str) -> None:
    with client_of(redis_cluster_url) as client:
        first, second, *_ = (f"redis://{node.host}:{node.port}/0" for node in client.get_primaries())
    notices, notice = RedisLiveModelNotices(first), RedisLiveModelNotice(second, timeout_s=5)
    assert not await notices.wait(0.05)  # subscribes
    waiting = asyncio.create_task(notices.wait(30))
    await asyncio.to_thread(notice.announce, 7)
    assert await asyncio.wait_for(waiting, timeout=10)
    await notices.aclose()


@pytest.mark.redis
async def test_a_notice_of_another_kind_wakes_nobody(redis_url: str) -> None:
    notices, notice = RedisAvailabilityNotices(redis_url), RedisLiveModelNotice(redis_url, timeout_s=5)
    assert not await notices.wait(0.05)  # subscribes
    waiting = asyncio.create_task(notices.wait(0.3))
    await asyncio.to_thread(notice.announce, 7)
    assert not await waiting
    await notices.aclose()


@pytest.mark.redis
async def test_a_quiet_wait_ends_after_its_timeout(redis_url: str) -> None:
    notices = RedisLiveModelNotices(redis_url)
    start = time.monotonic()
    assert not await notices.wait(0.2)
    assert 0.15 < time.monotonic() - start < 5
    await notices.aclose()


async def test_without_redis_a_wait_lasts_its_timeout_and_an_announcement_passes() -> None:
    """Otherwise a worker without Redis would ask the database without a pause."""
    notices = RedisLiveModelNotices("redis://127.0.0.1:1/0", timeout_s=0.1)
    start = time.monotonic()
    assert not await notices.wait(0.3)
    assert time.monotonic() - start >= 0.29
    RedisLiveModelNotice("redis://127.0.0.1:1/0", timeout_s=0.1).announce(1)
    await notices.aclose()
