"""The use case of the serving process: the best items for a user, and the items like an item.

Every answer comes from the one model that was live when the request came in, or was the user's canary then, whatever is
swapped or ended meanwhile. Nothing here learns; a click changes the next answer because it changes the history, which
is read anew for each request.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from services.domain.errors import BundleBroken, FeatureStoreDown, UnknownItem
from services.domain.ids import ItemId, ModelVersion, UserId
from services.domain.interactions import UserHistory
from services.domain.ports import HistoryReader, ResultCache
from services.domain.recommendations import Degraded, Recommendation, ScoredItem, Source
from services.domain.vitals import VitalsCounter
from services.inference.availability import AvailabilitySlot, Unavailable
from services.inference.background import BackgroundTasks
from services.inference.question import Question
from services.inference.recent_requests import RecentRequests
from services.inference.recorder import Recorder
from services.inference.retrieval import Rows, Vector
from services.inference.serving_model import ServingModel
from services.inference.shadowing import Shadowing
from services.inference.trial_slot import TrialSlot
from services.inference.trial_tally import counted

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """An item's neighbours, nearest first, from one model version."""

    items: tuple[ScoredItem, ...]
    model_version: ModelVersion
    catalog_version: str


class Recommender:
    """Answers from the live model, the user's history, and the result cache; never with an item that is unavailable.

    live_model: returns the model to answer with, or raises ModelNotReady. trials: what answers the users of a canary
    instead. shadowing: given every answer that has a history, to try it on a shadow. recent: told who asked for what.
    """

    def __init__(
        self,
        live_model: Callable[[], ServingModel],
        availability: AvailabilitySlot,
        histories: HistoryReader,
        cache: ResultCache,
        background: BackgroundTasks,
        recorder: Recorder,
        trials: TrialSlot | None = None,
        shadowing: Shadowing | None = None,
        recent: RecentRequests | None = None,
    ) -> None:
        self._live_model = live_model
        self._availability = availability
        self._histories = histories
        self._cache = cache
        self._background = background
        self._recorder = recorder
        self._trials = trials
        self._shadowing = shadowing
        self._recent = recent
        self._failed_version: ModelVersion | None = None

    async def recommend(self, user_id: UserId, k: int) -> Recommendation:
        """The k best items the user has not consumed; popular ones when the model knows nothing of the user.

        Raises ModelNotReady before the first model. A store that is down, or a model that fails on this history, makes
        the answer simpler, never fails it.
        """
        model, unavailable, counter = self._side(user_id)
        with counted(counter):
            history = await self._history(user_id)
            question = Question(model, unavailable, user_id, history or UserHistory(), k)
            if history is None:
                answer = _popular(question, Degraded.FEATURE_STORE_DOWN)
            else:
                answer = await self._answer(question)
        if answer.degraded is not Degraded.NONE:
            self._recorder.degraded()
            if counter is not None:
                counter.degraded()
        if history is not None and self._shadowing is not None:
            self._shadowing.ask(user_id, history, k, answer)
        return answer

    def _side(self, user_id: UserId) -> tuple[ServingModel, Unavailable, VitalsCounter | None]:
        """Who answers this request to its end, what that may not show, and where it is counted during a canary."""
        canary = None if self._trials is None else self._trials.canary
        if canary is not None and canary.includes(user_id):
            self._recorder.canary_answers()
            return canary.model, canary.unavailable(), canary.tally.trial
        model = self._live_model()
        return model, self._availability.of(model), None if canary is None else canary.tally.live

    async def _history(self, user_id: UserId) -> UserHistory | None:
        """None while the store is down."""
        try:
            return await self._histories.read(user_id)
        except FeatureStoreDown:
            return None

    async def _answer(self, question: Question) -> Recommendation:
        if not question.is_personal:
            return _popular(question)  # cheaper than a look-up, so not cached
        if self._recent is not None:
            self._recent.note(question.user_id, question.k)
        key = question.key()
        cached = await self._cached(question, key)
        if cached is not None:
            return _personal(question, *cached, cache_hit=True)
        # On the event loop on purpose: a worker is one core, so a thread would add a hop and no throughput.
        try:
            rows, scores = question.worked_out()
        except BundleBroken as error:
            self._model_failed(question.model.version, error)
            return _popular(question, Degraded.MODEL_FAILED)
        self._background.start(self._cache.put(key, question.encoded(rows, scores)))
        return _personal(question, rows, scores, cache_hit=False)

    def similar(self, item_id: ItemId, k: int) -> SimilarItems:
        """The k items nearest to an item, without itself; empty when the model cannot tell which are.

        Raises ModelNotReady, and UnknownItem when the model does not know the item.
        """
        model = self._live_model()
        unavailable = self._availability.of(model)
        item_row = model.vocabulary.item_rows.get(item_id)
        if item_row is None:
            raise UnknownItem(
                f"Model {model.version} does not know item {item_id!r}; "
                "an item is known from the first training after its first event."
            )
        rows, scores = model.scorer.similar(item_row, k, unavailable.rows)
        return SimilarItems(model.scored_items(rows, scores), model.version, unavailable.version)

    def _model_failed(self, version: ModelVersion, error: BundleBroken) -> None:
        if version != self._failed_version:  # said once a version: every request of some users may fail
            log.error("model_failed", model_version=version, error=str(error))
        self._failed_version = version

    async def _cached(self, question: Question, key: bytes) -> tuple[Rows, Vector] | None:
        value = await self._cache.get(key)
        answer = None if value is None else question.decoded(value)
        self._recorder.cache_lookup(hit=answer is not None)
        return answer


def _popular(question: Question, degraded: Degraded = Degraded.NONE) -> Recommendation:
    return _recommendation(question, Source.POPULAR, *question.popular(), degraded=degraded)


def _personal(question: Question, rows: Rows, scores: Vector, *, cache_hit: bool) -> Recommendation:
    return _recommendation(question, Source.MODEL, rows, scores, cache_hit=cache_hit)


def _recommendation(
    question: Question,
    source: Source,
    rows: Rows,
    scores: Vector,
    *,
    degraded: Degraded = Degraded.NONE,
    cache_hit: bool = False,
) -> Recommendation:
    model, unavailable = question.model, question.unavailable
    return Recommendation(
        items=model.scored_items(rows, scores),
        model_version=model.version,
        history_version=question.history.version,
        catalog_version=unavailable.version,
        source=source,
        degraded=degraded or (Degraded.NONE if unavailable.is_known else Degraded.CATALOG_DOWN),
        cache_hit=cache_hit,
    )
