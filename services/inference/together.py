"""Many users answered in one call: one model for all, several histories encoded at once, the event loop left free.

Nothing waits for company: what is asked for when the model is free is worked out at once, with whatever else is there.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from services.domain.errors import BundleBroken, NightjarError
from services.domain.ids import ModelVersion
from services.domain.recommendations import ANYBODY, Query, Recommendation
from services.inference.answers import Answer
from services.inference.encoder import MAX_TOGETHER
from services.inference.patience import ENDLESS, Patience
from services.inference.question import Question
from services.inference.recommend import Recommender
from services.inference.scorers import best_of_each

LANES: Final = 32  # larger: a batch asks Redis for more at once than others get; smaller: fewer of one length at a time


class Together:
    """Works out the questions of one model and of many callers, up to MAX_TOGETHER of one history length at a time.

    Between two such groups the event loop turns once, so that other calls wait for a millisecond or two, not for all.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Question, asyncio.Future[Answer]]] = deque()
        self._working: asyncio.Task[None] | None = None

    async def worked_out(self, question: Question) -> Answer:
        """What the question's model answers; raises BundleBroken."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while group := list(self._next()):
            for (_, future), answer in zip(group, _answers([question for question, _ in group]), strict=True):
                if isinstance(answer, BundleBroken):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
            await asyncio.sleep(0)

    def _next(self) -> Iterator[tuple[Question, "asyncio.Future[Answer]"]]:
        """The one that waits longest, and others of its length; the rest keep their order."""
        length, num_taken = None, 0
        for _ in range(len(self._waiting)):
            question, future = self._waiting.popleft()
            if future.done():  # whoever asked is gone
                continue
            of_length = len(question.history_rows.items)
            if num_taken < MAX_TOGETHER and length in (None, of_length):
                length, num_taken = of_length, num_taken + 1
                yield question, future
            else:
                self._waiting.append((question, future))


def _answers(questions: Sequence[Question]) -> list[Answer | BundleBroken]:
    """Of each; one on which the model fails does not take the others with it."""
    try:
        return [*best_of_each(questions[0].model.scorer, [question.asked for question in questions])]
    except BundleBroken:
        return [_answer(question) for question in questions]


def _answer(question: Question) -> Answer | BundleBroken:
    try:
        return question.worked_out()
    except BundleBroken as error:
        return error


async def recommend_each(
    recommender: Recommender, queries: Sequence[Query | NightjarError], patience: Patience = ENDLESS
) -> tuple[ModelVersion, list[Recommendation | NightjarError]]:
    """What `recommend` answers to each, from the model that is live now; an error stays in its place.

    Raises ModelNotReady.
    """
    side = recommender.side(ANYBODY)
    together, answers = Together(), list[Recommendation | NightjarError | None]([None] * len(queries))
    left = iter(enumerate(queries))

    async def lane() -> None:
        for place, query in left:
            answers[place] = query if isinstance(query, NightjarError) else await answer(query)

    async def answer(query: Query) -> Recommendation | NightjarError:
        try:
            return await recommender.recommend(query, patience, side=side, work=together.worked_out)
        except NightjarError as error:
            return error

    async with asyncio.TaskGroup() as lanes:
        for _ in range(min(LANES, len(queries))):
            lanes.create_task(lane())
    return side[0].version, [each for each in answers if each is not None]
