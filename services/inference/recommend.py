"""The use case of the serving process: the best items for a user, a list ranked for one, and the items like an item.

Every answer comes from the one model that was live when the request came in, or was the user's canary then, whatever is
swapped or ended meanwhile. Nothing here learns; a click changes the next answer because it changes the history, which
is read anew for each request.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from services.domain.errors import BundleBroken, FeatureStoreDown, UnknownItem
from services.domain.ids import ItemId, ModelVersion, UserId
from services.domain.interactions import UserHistory
from services.domain.ports import HistoryReader, ResultCache
from services.domain.recommendations import (
    ANYBODY,
    Degraded,
    Query,
    Ranking,
    Recommendation,
    ScoredItem,
    Seen,
    Source,
)
from services.domain.vitals import VitalsCounter
from services.inference.availability import AvailabilitySlot, Unavailable
from services.inference.background import BackgroundTasks
from services.inference.excluded import Rows, Vector
from services.inference.question import Question
from services.inference.ranking import in_callers_order
from services.inference.recent_requests import RecentRequests
from services.inference.recorder import Recorder
from services.inference.serving_model import ServingModel
from services.inference.shadowing import Shadowing
from services.inference.trial_slot import TrialSlot
from services.inference.trial_tally import counted

log = structlog.get_logger(__name__)


Answer: TypeAlias = tuple[Rows, Vector]
Side: TypeAlias = tuple[ServingModel, Unavailable, VitalsCounter | None]


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

    async def recommend(
        self, query: Query, *, side: Side | None = None, work: Callable[[Question], Awaitable[Answer]] | None = None
    ) -> Recommendation:
        """The k best items for a user, or for what a visitor did; popular ones when the model knows nothing of either.

        side: who answers, where that is decided already. work: what works the answer out, instead of the model at once.
        Raises ModelNotReady before the first model. A store that is down, or a model that fails on this history, makes
        the answer simpler, never fails it.
        """
        model, unavailable, counter = side or self.side(query.user_id)
        with counted(counter):
            known = await self._known(query)
            unwanted, may_repeat = query.excluded | known.shown, query.seen is Seen.INCLUDE
            question = Question(model, unavailable, query.user_id, known.history, query.k, unwanted, may_repeat)
            answer = await self._answer(question, known.degraded, work)
        self._note(answer.degraded, counter)
        if known.is_whole and query.user_id and self._shadowing is not None:
            self._shadowing.ask(question, answer)
        return answer

    async def rank(self, query: Query, item_ids: Sequence[ItemId]) -> Ranking:
        """How much each of these items, which differ, may be wanted; in their order. As `recommend` for the rest."""
        model, unavailable, counter = self.side(query.user_id)
        with counted(counter):
            known = await self._known(query)
            question = Question(model, unavailable, query.user_id, known.history, len(item_ids))
            ranking = self._ranking(question, item_ids, known.degraded)
        self._note(ranking.degraded, counter)
        return ranking

    def side(self, user_id: UserId) -> Side:
        """Who answers this request to its end, what that may not show, and where it is counted during a canary."""
        canary = None if self._trials is None else self._trials.canary
        if canary is not None and user_id != ANYBODY and canary.includes(user_id):
            self._recorder.canary_answers()
            return canary.model, canary.unavailable(), canary.tally.trial
        model = self._live_model()
        return model, self._availability.of(model), None if canary is None else canary.tally.live

    async def _known(self, query: Query) -> "_Known":
        if query.user_id == ANYBODY:
            return _Known(query.brought)
        try:
            history = await self._histories.read(query.user_id)
            shown = await self._shown(query) if query.seen is Seen.EXCLUDE_SHOWN else frozenset[ItemId]()
        except FeatureStoreDown:
            return _Known(query.brought, degraded=Degraded.FEATURE_STORE_DOWN)
        return _Known(history, shown)

    async def _shown(self, query: Query) -> frozenset[ItemId]:
        """What was shown to the user lately; raises FeatureStoreDown."""
        shown = await self._histories.read_shown(query.user_id)
        return frozenset(item_id for item_id, last_us in shown.items() if last_us >= query.shown_since_us)

    def _note(self, degraded: Degraded, counter: VitalsCounter | None) -> None:
        if degraded is not Degraded.NONE:
            self._recorder.degraded()
            if counter is not None:
                counter.degraded()

    async def _answer(
        self, question: Question, degraded: Degraded, work: Callable[[Question], Awaitable[Answer]] | None
    ) -> Recommendation:
        if not question.is_personal:  # cheaper than a look-up, so not cached
            return _recommendation(question, Source.POPULAR, *question.popular(), degraded=degraded)
        if self._recent is not None and question.is_plain:
            self._recent.note(question.user_id, question.k)
        key = question.key()
        cached = await self._cached(question, key)
        if cached is not None:
            return _recommendation(question, Source.MODEL, *cached, degraded=degraded, cache_hit=True)
        # On the event loop on purpose: a worker is one core, so a thread would add a hop and no throughput.
        try:
            rows, scores = question.worked_out() if work is None else await work(question)
        except BundleBroken as error:
            self._model_failed(question.model.version, error)
            return _recommendation(question, Source.POPULAR, *question.popular(), degraded=Degraded.MODEL_FAILED)
        self._background.start(self._cache.put(key, question.encoded(rows, scores)))
        return _recommendation(question, Source.MODEL, rows, scores, degraded=degraded)

    def _ranking(self, question: Question, item_ids: Sequence[ItemId], degraded: Degraded) -> Ranking:
        try:
            source, order = question.ranked(question.rows_to_show(item_ids))
        except BundleBroken as error:
            self._model_failed(question.model.version, error)
            source, degraded = Source.POPULAR, Degraded.MODEL_FAILED
            order = question.model.index.ranked_by_popularity(question.rows_to_show(item_ids))
        return Ranking(
            items=in_callers_order(question.model.vocabulary, item_ids, *order),
            model_version=question.model.version,
            history_version=question.history.version,
            catalog_version=question.unavailable.version,
            source=source,
            degraded=degraded or _catalog_degraded(question.unavailable),
        )

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
        rows, scores = model.scorer.similar(item_row, k, unavailable.excluded)
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of who asks."""

    history: UserHistory
    shown: frozenset[ItemId] = frozenset()
    degraded: Degraded = Degraded.NONE

    @property
    def is_whole(self) -> bool:
        return self.degraded is Degraded.NONE


def _recommendation(
    question: Question,
    source: Source,
    rows: Rows,
    scores: Vector,
    *,
    degraded: Degraded,
    cache_hit: bool = False,
) -> Recommendation:
    return Recommendation(
        items=question.model.scored_items(rows, scores),
        model_version=question.model.version,
        history_version=question.history.version,
        catalog_version=question.unavailable.version,
        source=source,
        degraded=degraded or _catalog_degraded(question.unavailable),
        cache_hit=cache_hit,
    )


def _catalog_degraded(unavailable: Unavailable) -> Degraded:
    return Degraded.NONE if unavailable.is_known else Degraded.CATALOG_DOWN
