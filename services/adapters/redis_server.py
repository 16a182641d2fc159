"""What a Redis server should be told, so that histories take a third of the memory, and whether it was."""

from collections.abc import Mapping
from typing import Final

import redis

from services.domain.errors import FeatureStoreDown

COMPACT_OPTIONS: Final[Mapping[str, int]] = {
    # Members up to which a sorted set stays compact. Larger: each event scans further; smaller than max_history: a full
    # history takes thrice the memory.
    "zset-max-listpack-entries": 256,
    # Bytes of a member up to which it does: event id, item id, type and value together.
    "zset-max-listpack-value": 160,
}


def options_to_raise(url: str, timeout_s: float = 2.0) -> Mapping[str, int]:
    """The options of the server that are smaller than they should be, with what they are.

    Empty where it does not tell, as managed services do. Raises FeatureStoreDown.
    """
    with redis.Redis.from_url(url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s) as client:
        try:
            found = client.config_get(*COMPACT_OPTIONS)
        except redis.ResponseError:
            return {}
        except redis.RedisError as error:
            raise FeatureStoreDown(f"Redis did not say how it is configured: {error}") from error
    return {name: int(value) for name, value in found.items() if int(value) < COMPACT_OPTIONS.get(name, 0)}
