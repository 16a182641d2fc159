"""Lists with wishes, answered: from the cache or worked out, from the model or from what is popular."""

from typing import Protocol

from services.domain.errors import BundleBroken, FeatureStoreDown
from services.domain.ids import ItemId, ModelVersion
from services.domain.ports import ResultCache
from services.domain.recommendations import Degraded, Recommendation, ScoredItem, Source
from services.inference.background import BackgroundTasks
from services.inference.candidates import ORIGINS, Candidates, OfCounters, OfModel, OfTraining
from services.inference.listing import Listing, work_out
from services.inference.popular import PopularNow
from services.inference.question import Question
from services.inference.recorder import Recorder


class ModelFailed(Protocol):
    def __call__(self, version: ModelVersion, error: BundleBroken) -> None: ...


class WishedLists:
    """popular: what users do now, by surface; None: that is not known here. model_failed: told when a model does."""

    def __init__(
        self,
        cache: ResultCache,
        background: BackgroundTasks,
        recorder: Recorder,
        popular: PopularNow | None,
        model_failed: ModelFailed,
    ) -> None:
        self._cache = cache
        self._background = background
        self._recorder = recorder
        self._popular = popular
        self._model_failed = model_failed

    async def answer(self, question: Question, degraded: Degraded) -> Recommendation:
        """Raises PageExpired, and InvalidRequest for a page of another request."""
        question.check_page()
        if not question.is_personal:
            candidates = await self._popular_ones(question)
            return _recommendation(question, candidates.source, work_out(question, candidates), degraded)
        key = question.key()
        cached = await self._cached(question, key)
        if cached is not None:
            return _recommendation(question, Source.MODEL, cached, degraded, cache_hit=True)
        try:
            listing = work_out(question, OfModel(question.model, question.history_rows))
        except BundleBroken as error:
            self._model_failed(question.model.version, error)
            simpler = work_out(question, OfTraining(question.model))
            return _recommendation(question, Source.POPULAR, simpler, Degraded.MODEL_FAILED)
        self._background.start(self._cache.put(key, listing.encoded(question.model.version)))
        return _recommendation(question, Source.MODEL, listing, degraded)

    async def _popular_ones(self, question: Question) -> Candidates:
        """On the surface that is asked for, if there is one; not for pages, which would be of another list each."""
        surface = question.wishes.surface
        if self._popular is None or not surface or question.wishes.is_paged:
            return OfTraining(question.model)
        try:
            counted = await self._popular.on_surface(surface)
        except FeatureStoreDown:
            return OfTraining(question.model)
        sums = dict[ItemId, float](counted)
        known = question.model.known_rows(sums)
        found = question.model.vocabulary.item_ids
        return OfCounters(question.model, known, [sums[found[row - 1]] for row in known.tolist()])

    async def _cached(self, question: Question, key: bytes) -> Listing | None:
        value = await self._cache.get(key)
        model = question.model
        listing = None if value is None else Listing.decoded(model.version, model.index.num_items, value)
        self._recorder.cache_lookup(hit=listing is not None)
        return listing


def _recommendation(
    question: Question, source: Source, listing: Listing, degraded: Degraded, *, cache_hit: bool = False
) -> Recommendation:
    scored = question.model.scored_items(listing.rows, listing.scores)
    origins = (ORIGINS[number] for number in listing.origins.tolist())
    is_degraded = degraded or (Degraded.NONE if question.is_catalog_known else Degraded.CATALOG_DOWN)
    return Recommendation(
        items=tuple(ScoredItem(each.item_id, each.score, origin) for each, origin in zip(scored, origins, strict=True)),
        model_version=question.model.version,
        history_version=question.history.version,
        catalog_version=question.catalog_version,
        source=source,
        degraded=is_degraded,
        cache_hit=cache_hit,
        left_out=question.required().left_out,
        next_page=question.next_page() if question.wishes.is_paged and listing.has_more else None,
    )
