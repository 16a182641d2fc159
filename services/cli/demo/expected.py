"""What a model version must answer: computed here from its bundle, to hold every reply under load against it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from services.adapters.redis_store import RedisHistoryReader, RedisStore
from services.domain.ids import ItemId, ModelVersion, UserId
from services.domain.interactions import UserHistory
from services.inference.excluded import Excluded
from services.inference.serving_model import ServingModel, load_serving_model

Answers: TypeAlias = Mapping[tuple[ModelVersion, UserId], tuple[ItemId, ...]]


async def read_histories(redis_url: str, user_ids: Sequence[UserId]) -> Mapping[UserId, UserHistory]:
    """The online histories as serving reads them."""
    reader = RedisHistoryReader(RedisStore(redis_url, timeout_s=5.0))
    try:
        return {user_id: await reader.read(user_id) for user_id in user_ids}
    finally:
        await reader.aclose()


def expected_answers(bundles: Sequence[Path], histories: Mapping[UserId, UserHistory], k: int) -> Answers:
    """For each version and user, the k items that this version gives this user, best first."""
    models = [load_serving_model(folder) for folder in bundles]
    return {
        (model.version, user_id): _answer(model, history, k)
        for model in models
        for user_id, history in histories.items()
    }


def _answer(model: ServingModel, history: UserHistory, k: int) -> tuple[ItemId, ...]:
    rows_of_history = model.history_rows(history.entries)
    consumed = Excluded(model.known_rows(history.consumed))
    if model.scorer.knows(rows_of_history):
        rows, scores = model.scorer.best(rows_of_history, k, consumed)
    else:
        rows, scores = model.index.popular(k, consumed)
    return tuple(item.item_id for item in model.scored_items(rows, scores))
