"""Notices that wake serving, by publish and subscribe. Losing one only delays: workers also poll."""

import asyncio
from typing import ClassVar

import redis
import redis.asyncio
import structlog
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from services.adapters.redis_store.keys import AVAILABILITY_CHANNEL, LIVE_MODEL_CHANNEL, PREPARATION_CHANNEL

log = structlog.get_logger()


class _Notice:
    """Implements the Notice port."""

    channel: ClassVar[str]

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1)
        )

    def announce(self, number: int) -> None:
        try:
            self._client.publish(self.channel, number)
        except RedisError as error:
            log.warning("notice_lost", channel=self.channel, number=number, error=str(error))

    def close(self) -> None:
        self._client.close()


class RedisLiveModelNotice(_Notice):
    channel = LIVE_MODEL_CHANNEL


class RedisPreparationNotice(_Notice):
    channel = PREPARATION_CHANNEL


class RedisAvailabilityNotice(_Notice):
    channel = AVAILABILITY_CHANNEL


class _Notices:
    """Implements the Notices port."""

    channel: ClassVar[str]

    def __init__(self, url: str, timeout_s: float = 1.0) -> None:
        self._client = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=AsyncRetry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),  # a timeout is not tried again
        )
        self._subscription: PubSub | None = None

    async def wait(self, timeout_s: float) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        try:
            subscription = await self._subscribed()
            while (remaining_s := deadline - loop.time()) > 0:
                message = await subscription.get_message(ignore_subscribe_messages=True, timeout=remaining_s)
                if message is not None:
                    return True
        except (RedisError, OSError, TimeoutError):
            await self._unsubscribe()
            await asyncio.sleep(max(0.0, deadline - loop.time()))
        return False

    async def aclose(self) -> None:
        await self._unsubscribe()
        await self._client.aclose()

    async def _subscribed(self) -> PubSub:
        if self._subscription is None:
            subscription = self._client.pubsub()
            await subscription.subscribe(self.channel)
            self._subscription = subscription
        return self._subscription

    async def _unsubscribe(self) -> None:
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.aclose()  # type: ignore[no-untyped-call]


class RedisLiveModelNotices(_Notices):
    channel = LIVE_MODEL_CHANNEL


class RedisPreparationNotices(_Notices):
    channel = PREPARATION_CHANNEL


class RedisAvailabilityNotices(_Notices):
    channel = AVAILABILITY_CHANNEL
