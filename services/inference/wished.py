"""Lists with wishes as answers: from the model, from what is popular, or from the cache. `recommend` says which."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

from services.domain.errors import FeatureStoreDown
from services.domain.ids import ItemId
from services.domain.pages import Page
from services.domain.recommendations import Degraded, Recommendation, ScoredItem, Source
from services.domain.wishes import Wishes
from services.inference.candidates import ORIGINS, OfCounters, OfModel, OfTraining
from services.inference.facts import KnownFacts
from services.inference.filters import check_words
from services.inference.listing import Listing, work_out
from services.inference.popular import PopularNow
from services.inference.question import Question
from services.inference.stages import Stage, ended

Counted: TypeAlias = Sequence[tuple[ItemId, float]]
"""What users do most with now, and the sums of their events."""


def with_wishes(question: Question, wishes: Wishes, page: Page | None, facts: KnownFacts) -> Question:
    """Raises InvalidRequest for words that nobody knows."""
    check_words(wishes, facts)
    return replace(question, wishes=wishes, page=page, facts=facts)


async def on_surface(question: Question, popular: PopularNow | None) -> Counted | None:
    """What is popular where the list is shown, for a user of whom the model knows nothing.

    None: nobody asks for it, or it cannot be told; nor for pages, each of which would be of another list.
    """
    surface = question.wishes.surface
    if popular is None or not surface or question.wishes.is_paged or question.is_personal:
        return None
    try:
        return await popular.on_surface(surface)
    except FeatureStoreDown:
        return None


def wished(question: Question, degraded: Degraded) -> tuple[Recommendation, bytes]:
    """From the model, and as it is cached; blocks. Raises BundleBroken."""
    listing = work_out(question, OfModel(question.model, question.history_rows))
    value = listing.encoded(question.model.version, question.history.version)
    return _recommendation(question, Source.MODEL, listing, degraded), value


def wished_popular(question: Question, degraded: Degraded, counted_there: Counted | None) -> Recommendation:
    """From what is popular on a surface now, or was when the model was trained; blocks."""
    model = question.model
    if counted_there is None:
        return _recommendation(question, Source.POPULAR, work_out(question, OfTraining(model)), degraded)
    sums = dict(counted_there)
    rows = model.known_rows(sums)
    found = OfCounters(model, rows, [sums[model.vocabulary.item_ids[row - 1]] for row in rows.tolist()])
    return _recommendation(question, Source.COUNTERS, work_out(question, found), degraded)


def wished_before(question: Question, value: bytes) -> Recommendation | None:
    """From the cache; None when the value is no answer to the question."""
    model = question.model
    listing = Listing.decoded(model.version, question.history.version, model.index.num_items, value)
    if listing is None:
        return None
    return _recommendation(question, Source.MODEL, listing, Degraded.NONE, cache_hit=True)


def no_page(question: Question, degraded: Degraded) -> Recommendation:
    """A page that the model cannot make now: without items, and the next one is the same again."""
    page = question.page if question.offset else None
    if page is None:
        return replace(wished_popular(question, degraded, None), next_page=None)
    return replace(_recommendation(question, Source.MODEL, Listing.empty(), degraded), next_page=page)


def _recommendation(
    question: Question, source: Source, listing: Listing, degraded: Degraded, *, cache_hit: bool = False
) -> Recommendation:
    scored = question.model.scored_items(listing.rows, listing.scores)
    origins = (ORIGINS[number] for number in listing.origins.tolist())
    items = tuple(ScoredItem(each.item_id, each.score, origin) for each, origin in zip(scored, origins, strict=True))
    ended(Stage.REPLY)
    return Recommendation(
        items=items,
        model_version=question.model.version,
        history_version=question.history.version,
        catalog_version=question.catalog_version,
        source=source,
        degraded=degraded or (Degraded.NONE if question.is_catalog_known else Degraded.CATALOG_DOWN),
        cache_hit=cache_hit,
        left_out=question.required().left_out,
        next_page=question.next_page() if question.wishes.is_paged and listing.has_more else None,
    )
