"""The use case of the serving process: the best items for a user, a list ranked for one, and the items like an item.

Every answer comes from the one model that was live when the request came in, or was the user's canary then, whatever is
swapped or ended meanwhile. Nothing here learns; a click changes the next answer because it changes the history, which
is read anew for each request.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

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
from services.domain.wishes import EVERYTHING, NO_WISHES, Filter
from services.inference.availability import AvailabilitySlot, Unavailable
from services.inference.background import BackgroundTasks
from services.inference.excluded import NO_ROWS, Excluded, Rows, Vector
from services.inference.explaining import explained
from services.inference.facts import FactsSlot
from services.inference.filters import check_filter, check_words, flagged
from services.inference.popular import PopularNow
from services.inference.question import Question
from services.inference.ranking import in_callers_order
from services.inference.recent_requests import RecentRequests
from services.inference.recorder import Recorder
from services.inference.serving_model import ServingModel
from services.inference.shadowing import Shadowing
from services.inference.trial_slot import TrialSlot
from services.inference.trial_tally import counted
from services.inference.wished import WishedLists

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
        facts: FactsSlot | None = None,
        popular: PopularNow | None = None,
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
        self._facts = facts or FactsSlot()
        self._wished = WishedLists(cache, background, recorder, popular, self._model_failed)
        self._failed_version: ModelVersion | None = None

    async def recommend(self, query: Query) -> Recommendation:
        """The k best items for a user, or for what a visitor did; popular ones when the model knows nothing of either.

        Raises ModelNotReady before the first model. A store that is down, or a model that fails on this history, makes
        the answer simpler, never fails it.
        """
        model, unavailable, counter = self._side(query.user_id)
        with counted(counter):
            known = await self._known(query)
            unwanted, may_repeat = query.excluded | known.shown, query.seen is Seen.INCLUDE
            question = Question(model, unavailable, query.user_id, known.history, query.k, unwanted, may_repeat)
            if query.wishes is NO_WISHES:
                answer = await self._answer(question, known.degraded)
            else:
                question = self._with_wishes(question, query)
                answer = await self._wished.answer(question, known.degraded)
            if query.explain:
                answer = replace(answer, explanations=explained(question, answer))
        self._note(answer.degraded, counter)
        if known.is_whole and query.user_id and self._shadowing is not None and query.wishes is NO_WISHES:
            self._shadowing.ask(question, answer)
        return answer

    def _with_wishes(self, question: Question, query: Query) -> Question:
        """Raises InvalidRequest for words that nobody knows."""
        facts = self._facts.of(question.model)
        check_words(query.wishes, facts)
        return replace(question, wishes=query.wishes, facts=facts, page=query.page)

    async def rank(self, query: Query, item_ids: Sequence[ItemId]) -> Ranking:
        """How much each of these items, which differ, may be wanted; in their order. As `recommend` for the rest."""
        model, unavailable, counter = self._side(query.user_id)
        with counted(counter):
            known = await self._known(query)
            question = Question(model, unavailable, query.user_id, known.history, len(item_ids))
            ranking = self._ranking(question, item_ids, known.degraded)
        self._note(ranking.degraded, counter)
        return ranking

    def _side(self, user_id: UserId) -> tuple[ServingModel, Unavailable, VitalsCounter | None]:
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
        """What was shown to the user lately, before the first page where there are pages; raises FeatureStoreDown."""
        shown = await self._histories.read_shown(query.user_id)
        until_us = query.page.first_asked_us if query.page is not None else 0
        return frozenset(
            item_id
            for item_id, last_us in shown.items()
            if last_us >= query.shown_since_us and (not until_us or last_us < until_us)
        )

    def _note(self, degraded: Degraded, counter: VitalsCounter | None) -> None:
        if degraded is not Degraded.NONE:
            self._recorder.degraded()
            if counter is not None:
                counter.degraded()

    async def _answer(self, question: Question, degraded: Degraded) -> Recommendation:
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
            rows, scores = question.worked_out()
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

    def similar(self, item_id: ItemId, k: int, wanted: Filter = EVERYTHING) -> SimilarItems:
        """The k wanted items nearest to an item, without itself; empty when the model cannot tell which are.

        Raises ModelNotReady, UnknownItem when the model does not know the item, and InvalidRequest for a category that
        no item was ever heard to have.
        """
        model = self._live_model()
        unavailable = self._availability.of(model)
        excluded, catalog_version = unavailable.excluded, unavailable.version
        if wanted != EVERYTHING:
            facts = self._facts.of(model)
            check_filter(wanted, facts)
            excluded = Excluded.of(NO_ROWS, *flagged(wanted, facts, unavailable))
            catalog_version = f"{catalog_version}.{facts.version}"
        item_row = model.vocabulary.item_rows.get(item_id)
        if item_row is None:
            raise UnknownItem(
                f"Model {model.version} does not know item {item_id!r}; "
                "an item is known from the first training after its first event."
            )
        rows, scores = model.scorer.similar(item_row, k, excluded)
        return SimilarItems(model.scored_items(rows, scores), model.version, catalog_version)

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
