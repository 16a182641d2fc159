"""The notice that the live model changed, by publish and subscribe. Losing one only delays: workers also poll."""

import asyncio

import redis
import structlog
from redis.asyncio.client import PubSub
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from services.adapters.redis_store.history_reader import connect
from services.adapters.redis_store.keys import LIVE_MODEL_CHANNEL

log = structlog.get_logger()


class RedisLiveModelNotice:
    """Implements the LiveModelNotice port; blocking."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1)
        )

    def announce(self, generation: int) -> None:
        try:
            self._client.publish(LIVE_MODEL_CHANNEL, generation)
        except RedisError as error:
            log.warning("live_model_notice_lost", generation=generation, error=str(error))

    def close(self) -> None:
        self._client.close()


class RedisLiveModelNotices:
    """Implements the LiveModelNotices port."""

    def __init__(self, url: str, timeout_s: float = 1.0) -> None:
        self._client = connect(url, timeout_s)
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
            await subscription.subscribe(LIVE_MODEL_CHANNEL)
            self._subscription = subscription
        return self._subscription

    async def _unsubscribe(self) -> None:
        if self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            await subscription.aclose()  # type: ignore[no-untyped-call]
