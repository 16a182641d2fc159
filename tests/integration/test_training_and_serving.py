"""Law 8 from end to end: the Delta log as training reads it, and Redis as serving reads it, give one model input."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.adapters.delta_log import DeltaEventLog
from services.adapters.redis_store import HistoryLimits, RedisHistoryReader, RedisHistoryWriter, RedisStore
from services.domain.bundles import Manifest
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import EventId, ItemId, ModelVersion, UserId
from services.domain.interactions import Interaction, UserHistory
from services.domain.streams import LogBatch
from services.domain.vocabulary import Vocabulary, input_types
from services.features.history import Histories
from services.inference.retrieval import ItemIndex
from services.inference.scorers import PopularScorer
from services.inference.serving_model import ServingModel

ITEMS = tuple(ItemId(item) for item in "abcd")
EVENT_TYPES = EventTypes(
    [
        EventType("impression", Role.IMPRESSION),
        EventType("view", Role.POSITIVE),
        EventType("rating", Role.POSITIVE, consumes=True, positive_from=4.0, negative_to=2.0),
        EventType("dislike", Role.NEGATIVE, consumes=True),
    ]
)
VOCABULARY = Vocabulary(ITEMS, input_types(EVENT_TYPES))
USERS = [UserId("ann"), UserId("bob")]

interactions = st.lists(
    st.tuples(
        # Ids of one to four bytes a character: ties in time sort by id, in Python, Arrow and Redis alike.
        st.text("aZ-é漢😀", min_size=1, max_size=4).map(EventId),
        st.sampled_from(USERS),
        st.sampled_from("abcdxy").map(ItemId),  # x and y are unknown to the vocabulary
        st.sampled_from(["view", "impression", "rating", "dislike"]),
        st.integers(1_700_000_000_000_000, 1_700_000_000_000_009),
        st.none() | st.sampled_from([1.9999999999999998, 2.0, 2.0000000000000004, 4.0]) | st.floats(1, 5),
    ).map(lambda fields: Interaction(*fields)),
    max_size=30,
    unique_by=lambda event: event.event_id,
)


@pytest.mark.redis
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(interactions, st.integers(0, 10), st.integers(1, 5))
async def test_training_reads_from_the_log_what_serving_reads_from_redis(
    redis_url: str,
    tmp_path: Path,
    events: list[Interaction],
    moment: int,
    max_history: int,
) -> None:
    """For every user: the model's input and the consumed items, as of a moment, from a store that keeps no more."""
    time_us = 1_700_000_000_000_000 + moment
    trained_on = training_histories(tmp_path / str(uuid.uuid4()), events)
    known_then = [event for event in events if event.event_time_us < time_us]
    model = serving_model(max_history)
    for user_id in trained_on.user_rows:
        history = await served_history(redis_url, user_id, known_then, max_history)
        user_row = trained_on.user_rows[user_id]
        trained, served = trained_on.as_of(user_row, time_us, max_history), model.history_rows(history.entries)
        assert [column.tolist() for column in served] == [column.tolist() for column in trained]
        consumed = trained_on.consumed_as_of(user_row, time_us).tolist()
        assert sorted(model.known_rows(history.consumed)) == sorted(set(consumed))


def training_histories(folder: Path, events: Sequence[Interaction]) -> Histories:
    """The events through the Delta log, written in two commits."""
    log, half = DeltaEventLog(folder), len(events) // 2
    for part in (events[half:], events[:half]):
        log.append(LogBatch(part))
    return Histories(log.read(log.version()), VOCABULARY, EVENT_TYPES)


async def served_history(url: str, user_id: UserId, events: Sequence[Interaction], max_history: int) -> UserHistory:
    """The user's events through Redis, newest first and the first half twice, under a name that is new to it."""
    alias = UserId(f"{user_id}-{uuid.uuid4()}")
    mine = [event._replace(user_id=alias) for event in reversed(events) if event.user_id == user_id]
    writer = RedisHistoryWriter(url, EVENT_TYPES, HistoryLimits(max_history, max_consumed=100, ttl_s=60))
    reader = RedisHistoryReader(RedisStore(url, timeout_s=5))
    try:
        writer.apply(mine)
        writer.apply(mine[: len(mine) // 2])
        return await reader.read(alias)
    finally:
        writer.close()
        await reader.aclose()


def serving_model(max_history: int) -> ServingModel:
    """A model of the vocabulary, to turn a history into rows as an answer does; it encodes nothing."""
    manifest = Manifest(ModelVersion("v"), "popularity", "2026-01-31T00:00:00+00:00", 0, "0", 0, 0, 4, max_history)
    index = ItemIndex(np.empty((4, 0), np.float32), np.ones(4, np.float32))
    return ServingModel(manifest, VOCABULARY, index, PopularScorer(index))
