"""The use case of the serving process: the best items for a user, a list ranked for one, and the items like an item.

Every answer comes from the one model that was live when the request came in, or was the user's canary then, whatever is
swapped or ended meanwhile. Nothing here learns; a click changes the next answer because it changes the history, which
is read anew for each request.
"""

from asyncio import gather
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from services.domain.wishes import EVERYTHING, NO_WISHES, Filter
from services.inference.answer_memory import AnswerMemory
from services.inference.answers import Work, catalog_degraded, of_cache, of_model, popular, simpler
from services.inference.availability import AvailabilitySlot, Unavailable
from services.inference.background import BackgroundTasks
from services.inference.excluded import NO_ROWS, Excluded
from services.inference.explaining import explained
from services.inference.facts import FactsSlot
from services.inference.filters import check_filter, flagged
from services.inference.patience import ENDLESS, Patience
from services.inference.popular import PopularNow
from services.inference.question import Question
from services.inference.ranking import in_callers_order
from services.inference.recent_requests import RecentRequests
from services.inference.recorder import Recorder
from services.inference.serving_model import ServingModel
from services.inference.shadowing import Shadowing
from services.inference.stages import Stage, ended
from services.inference.trial_slot import TrialSlot
from services.inference.trial_tally import counted
from services.inference.wished import (
    Counted,
    on_surface,
    with_wishes,
)

log = structlog.get_logger(__name__)


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
    memory: what this worker answered lately. facts, popular: what wishes may ask of items and of surfaces.
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
        memory: AnswerMemory | None = None,
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
        self._memory = memory
        self._facts = facts or FactsSlot()
        self._popular = popular
        self._failed_version: ModelVersion | None = None

    async def recommend(
        self, query: Query, patience: Patience = ENDLESS, *, side: Side | None = None, work: Work | None = None
    ) -> Recommendation:
        """The k best items for a user, or for what a visitor did; popular ones when the model knows nothing of either.

        side: who answers, where that is decided already. work: what works a plain answer out, instead of the model at
        once. Raises ModelNotReady before the first model, OutOfTime when the answer would come too late, InvalidRequest
        for wishes that name what nobody knows, and PageExpired. A store that is down or late, or a model that fails on
        this history, makes the answer simpler, never fails it.
        """
        model, unavailable, counter = side or self.side(query.user_id)
        with counted(counter):
            may_repeat = query.seen is Seen.INCLUDE
            asked = Question(model, unavailable, query.user_id, query.brought, query.k, query.excluded, may_repeat)
            if query.wishes is not NO_WISHES:
                asked = with_wishes(asked, query.wishes, query.page, self._facts.of(model))
            answer = await self._remembered(asked, query, patience) or await self._answer(asked, query, patience, work)
        self._note(answer.degraded, counter)
        return answer

    async def rank(self, query: Query, item_ids: Sequence[ItemId], patience: Patience = ENDLESS) -> Ranking:
        """How much each of these items, which differ, may be wanted; in their order. As `recommend` for the rest."""
        model, unavailable, counter = self.side(query.user_id)
        with counted(counter):
            known = await self._known(query, patience)
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

    async def _remembered(self, asked: Question, query: Query, patience: Patience) -> Recommendation | None:
        """What this worker answered to the same question, if the user did nothing since, or that cannot be known."""
        if self._memory is None or self._is_shadowed or query.explain:
            return None
        if not (_is_kept(query) and asked.is_catalog_known):
            return None
        answer = self._memory.get(asked.key)
        if answer is None:
            return None
        try:
            if asked.user_id:
                async with patience.half():
                    present = await self._histories.read_version(asked.user_id)
            else:
                present = asked.history.version
        except (FeatureStoreDown, TimeoutError) as error:  # nobody knows what the user did since
            reason = Degraded.LATE if isinstance(error, TimeoutError) else Degraded.FEATURE_STORE_DOWN
            return replace(answer, degraded=reason)
        ended(Stage.STORE)
        if present != answer.history_version:
            return None
        self._recorder.cache_lookup(hit=True)
        self._note_recent(asked)
        return answer

    async def _known(self, query: Query, patience: Patience, key: bytes | None = None) -> "_Known":
        """In one trip; a store that is late counts as one that is down. key: where an answer may be cached."""
        try:
            async with patience.half():
                known = await self._read(query, key)
        except FeatureStoreDown:
            known = _Known(query.brought, degraded=Degraded.FEATURE_STORE_DOWN)
        except TimeoutError:
            known = _Known(query.brought, degraded=Degraded.LATE)
        ended(Stage.STORE)
        return known

    async def _read(self, query: Query, key: bytes | None) -> "_Known":
        """Raises FeatureStoreDown."""
        if query.user_id == ANYBODY:
            return _Known(query.brought, cached=None if key is None else await self._cache.get(ANYBODY, key))
        if query.seen is Seen.EXCLUDE_SHOWN:
            history, shown = await gather(self._histories.read(query.user_id), self._shown(query))
            return _Known(history, shown)
        if key is None:
            return _Known(await self._histories.read(query.user_id))
        history, cached = await self._histories.read_with_answer(query.user_id, key)
        return _Known(history, cached=cached)

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

    def _note_recent(self, question: Question) -> None:
        if self._recent is not None and question.is_plain:
            self._recent.note(question.user_id, question.k)

    async def _answer(self, asked: Question, query: Query, patience: Patience, work: Work | None) -> Recommendation:
        is_kept = _is_kept(query)
        known = await self._known(query, patience, asked.key if is_kept else None)
        question = asked.knowing(known.history, known.shown)
        question.check_page()
        counted_there = await on_surface(question, self._popular)
        answer = await self._worked_out(question, known, patience, counted_there, work, is_kept=is_kept)
        if known.is_whole and query.user_id and self._shadowing is not None and query.wishes is NO_WISHES:
            self._shadowing.ask(question, answer)
        return replace(answer, explanations=explained(question, answer)) if query.explain else answer

    async def _worked_out(
        self,
        question: Question,
        known: "_Known",
        patience: Patience,
        counted_there: Counted | None,
        work: Work | None,
        *,
        is_kept: bool,
    ) -> Recommendation:
        # On the event loop on purpose: a worker is one core, so a thread would add a hop and no throughput. So whoever
        # asks the same at the same time finds the answer in the memory.
        if not question.is_personal:  # cheaper than a look-up, so not cached
            return popular(question, known.degraded, counted_there)
        self._note_recent(question)
        if is_kept and (found := self._found(question, known)) is not None:
            return found
        patience.check()
        if patience.is_half_gone:
            return simpler(question, Degraded.LATE)
        try:
            answer, value = await of_model(question, known.degraded, work)
        except BundleBroken as error:
            self._model_failed(question.model.version, error)
            return simpler(question, Degraded.MODEL_FAILED)
        if is_kept and known.is_whole:
            self._keep(question, answer, value)
        return answer

    def _found(self, question: Question, known: "_Known") -> Recommendation | None:
        """The cached answer, or that of somebody who asked the same a moment ago."""
        answer = None if self._memory is None else self._memory.get(question.key)
        if answer is None or answer.history_version != question.history.version:
            answer = None if known.cached is None else of_cache(question, known.cached)
            if answer is not None:
                self._remember(question, answer)
        self._recorder.cache_lookup(hit=answer is not None)
        return answer

    def _keep(self, question: Question, answer: Recommendation, value: bytes) -> None:
        """For whoever asks again; what goes to Redis goes after the reply."""
        self._remember(question, replace(answer, cache_hit=True))
        self._background.start(self._cache.put(question.user_id, question.key, value))

    def _remember(self, question: Question, answer: Recommendation) -> None:
        if self._memory is not None and answer.degraded is Degraded.NONE:
            self._memory.put(question.key, answer)

    @property
    def _is_shadowed(self) -> bool:
        return self._shadowing is not None and self._shadowing.is_asking

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
            degraded=degraded or catalog_degraded(question.unavailable),
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


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of who asks."""

    history: UserHistory
    shown: frozenset[ItemId] = frozenset()
    cached: bytes | None = None
    """An answer to the same question, if it is of this history."""
    degraded: Degraded = Degraded.NONE

    @property
    def is_whole(self) -> bool:
        return self.degraded is Degraded.NONE


def _is_kept(query: Query) -> bool:
    """Whether its answer may be found again: what was shown changes with every list, and is not known ahead."""
    return query.seen is not Seen.EXCLUDE_SHOWN
