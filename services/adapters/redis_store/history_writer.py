"""The writing side of the histories: one script call a user, many users a round trip."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from services.adapters.redis_store.keys import to_member, user_keys
from services.domain.errors import FeatureStoreDown
from services.domain.event_types import EventTypes
from services.domain.ids import UserId
from services.domain.interactions import Interaction

_SCRIPT = resources.files(__package__).joinpath("history.lua").read_text(encoding="utf-8")
_USERS_A_TRIP = 500  # larger: Redis answers nobody else meanwhile; smaller: more round trips
_EVENTS_A_CALL = 1_000  # a script call blocks Redis; also keeps below its limit on arguments


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """Bounds of what is kept for a user; see RedisSettings for what each costs."""

    max_history: int
    max_consumed: int
    ttl_s: int


class RedisHistoryWriter:
    """Implements the HistoryWriter port; blocking."""

    def __init__(self, url: str, event_types: EventTypes, limits: HistoryLimits, timeout_s: float = 5.0) -> None:
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 1)
        )
        self._script = self._client.register_script(_SCRIPT)
        self._event_types = event_types
        self._limits = limits

    def apply(self, interactions: Sequence[Interaction]) -> None:
        by_user: dict[UserId, list[Interaction]] = defaultdict(list)
        for interaction in interactions:
            by_user[interaction.user_id].append(interaction)
        users = list(by_user)
        try:
            for start in range(0, len(users), _USERS_A_TRIP):
                pipeline = self._client.pipeline(transaction=False)
                for user_id in users[start : start + _USERS_A_TRIP]:
                    self._queue(pipeline, user_id, by_user[user_id])
                pipeline.execute()
        except redis.RedisError as error:
            raise FeatureStoreDown(f"Redis did not take {len(interactions)} events: {error}") from error

    def close(self) -> None:
        self._client.close()

    def _queue(self, pipeline: redis.client.Pipeline, user_id: UserId, events: list[Interaction]) -> None:
        limits = self._limits
        for start in range(0, len(events), _EVENTS_A_CALL):
            arguments: list[bytes | int] = [limits.max_history, limits.max_consumed, limits.ttl_s]
            for event in events[start : start + _EVENTS_A_CALL]:
                arguments += self._arguments(event)
            if len(arguments) > 3:
                self._script(keys=list(user_keys(user_id)), args=arguments, client=pipeline)

    def _arguments(self, event: Interaction) -> list[bytes | int]:
        kind = self._event_types.get(event.event_type)
        if kind is None or not (kind.enters_history or kind.consumes):
            return []
        member = b""
        if kind.enters_history:
            member = to_member(event.event_id, event.item_id, event.event_type, event.value)
        return [event.event_time_us, member, event.item_id.encode() if kind.consumes else b""]
