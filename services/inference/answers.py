"""A question's answer as a reply holds it: from the model, from what is popular, or from the cache; wishes or none.

`recommend` says which of them a question gets.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from services.domain.recommendations import Degraded, Recommendation, Source
from services.domain.wishes import NO_WISHES
from services.inference.availability import Unavailable
from services.inference.excluded import Rows, Vector
from services.inference.question import Question
from services.inference.stages import Stage, ended
from services.inference.wished import Counted, no_page, wished, wished_before, wished_popular

Answer: TypeAlias = tuple[Rows, Vector]
Work: TypeAlias = Callable[[Question], Awaitable[Answer]]


def popular(question: Question, degraded: Degraded, counted_there: Counted | None = None) -> Recommendation:
    if question.wishes is not NO_WISHES:
        return wished_popular(question, degraded, counted_there)
    return recommendation(question, Source.POPULAR, *question.popular(), degraded=degraded)


def simpler(question: Question, degraded: Degraded) -> Recommendation:
    """Instead of the model's; but no page is one of another list than the first."""
    return no_page(question, degraded) if question.wishes.is_paged else popular(question, degraded)


async def of_model(question: Question, degraded: Degraded, work: Work | None) -> tuple[Recommendation, bytes]:
    """The answer, and how it is cached. Raises BundleBroken."""
    if question.wishes is not NO_WISHES:
        return wished(question, degraded)
    rows, scores = question.worked_out() if work is None else await work(question)
    answer = recommendation(question, Source.MODEL, rows, scores, degraded=degraded)
    return answer, question.encoded(rows, scores)


def of_cache(question: Question, value: bytes) -> Recommendation | None:
    if question.wishes is not NO_WISHES:
        return wished_before(question, value)
    cached = question.decoded(value)
    return None if cached is None else recommendation(question, Source.MODEL, *cached, cache_hit=True)


def recommendation(
    question: Question,
    source: Source,
    rows: Rows,
    scores: Vector,
    *,
    degraded: Degraded = Degraded.NONE,
    cache_hit: bool = False,
) -> Recommendation:
    items = question.model.scored_items(rows, scores)
    ended(Stage.REPLY)
    return Recommendation(
        items=items,
        model_version=question.model.version,
        history_version=question.history.version,
        catalog_version=question.unavailable.version,
        source=source,
        degraded=degraded or catalog_degraded(question.unavailable),
        cache_hit=cache_hit,
    )


def catalog_degraded(unavailable: Unavailable) -> Degraded:
    return Degraded.NONE if unavailable.is_known else Degraded.CATALOG_DOWN
