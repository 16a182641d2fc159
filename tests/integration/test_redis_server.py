"""The Redis that `nightjar up` starts keeps full histories compact, and one that does not is told apart."""

import uuid

import pytest

from services.adapters.redis_server import COMPACT_OPTIONS, options_to_raise
from services.adapters.redis_store import HistoryLimits, RedisHistoryWriter
from services.adapters.redis_store.keys import user_keys
from services.domain.errors import FeatureStoreDown
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.settings import RedisSettings
from tests.redis_state import client_of

pytestmark = pytest.mark.redis


def test_a_full_history_with_long_ids_stays_compact(redis_url: str) -> None:
    """UUIDs for events and items, and many events at once: else such a history takes thrice the memory."""
    user, settings = UserId(uuid.uuid4().hex), RedisSettings()
    events = [
        Interaction(EventId(str(uuid.uuid4())), user, ItemId(str(uuid.uuid4())), "purchase", n, 12_345.678)
        for n in range(3 * settings.max_history)
    ]
    writer = RedisHistoryWriter(redis_url, DEFAULT_EVENT_TYPES, HistoryLimits(settings.max_history, 2_000, 60))
    writer.apply(events)
    writer.close()
    with client_of(redis_url) as client:
        assert client.zcard(user_keys(user).history) == settings.max_history
        assert client.object("ENCODING", user_keys(user).history) == b"listpack"


def test_a_server_that_spends_more_memory_is_told_apart(redis_url: str) -> None:
    assert options_to_raise(redis_url) == {}
    with client_of(redis_url) as client:
        client.config_set("zset-max-listpack-entries", 128)
        try:
            assert options_to_raise(redis_url) == {"zset-max-listpack-entries": 128}
        finally:
            client.config_set("zset-max-listpack-entries", COMPACT_OPTIONS["zset-max-listpack-entries"])


def test_a_server_that_is_gone_is_a_typed_error() -> None:
    with pytest.raises(FeatureStoreDown):
        options_to_raise("redis://127.0.0.1:1/0", timeout_s=0.2)
