"""The shadow: after a reply it is asked what was asked, and what it says is counted, logged, and seen by nobody.

It may never cost a request anything that could be felt: one question at a time, in a thread of its own, begun after the
reply, and no more of a worker's time than a fixed share. What comes in meanwhile it is not asked; that is counted too.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import structlog

from services.domain.ids import ItemId
from services.domain.recommendations import Recommendation
from services.domain.trials import overlap
from services.inference.background import BackgroundTasks
from services.inference.question import Question
from services.inference.recorder import Recorder
from services.inference.trial_slot import TrialModel, TrialSlot

TIME_SHARE: Final = 0.2
"""Of a worker's time that its shadow may take. Larger: requests feel it on a busy core; smaller: more is dropped."""

log = structlog.get_logger(__name__)


class Shadowing:
    """Asks the shadow that a worker holds. timer: seconds, never set back."""

    def __init__(self, trials: TrialSlot, recorder: Recorder, timer: Callable[[], float] = time.perf_counter) -> None:
        self._trials = trials
        self._recorder = recorder
        self._timer = timer
        self._background = BackgroundTasks(1)
        self._thread = ThreadPoolExecutor(1, "shadow")
        self._rests_until = float("-inf")
        self._failed_trial = 0

    @property
    def is_asking(self) -> bool:
        """Whether there is a shadow, which is to see as much as the live model does."""
        return self._trials.shadow is not None

    def ask(self, question: Question, answer: Recommendation) -> None:
        """Has the shadow, if there is one for this user, answer what `answer` answered; returns at once."""
        shadow = self._trials.shadow
        if shadow is None or not shadow.includes(question.user_id):
            return
        rests = self._timer() < self._rests_until
        if rests or not self._background.start(self._compare(shadow, question, answer)):
            shadow.tally.dropped()
            self._recorder.trial_answer(shadow.trial.kind, "dropped")

    async def close(self, timeout_s: float) -> None:
        """Finishes what is under way, or gives it up after the timeout."""
        await self._background.drain(timeout_s)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _compare(self, shadow: TrialModel, question: Question, answer: Recommendation) -> None:
        start = self._timer()
        asked = replace(question, model=shadow.model, unavailable=shadow.unavailable())
        try:
            items = await asyncio.get_running_loop().run_in_executor(self._thread, _answer, asked)
        except Exception as error:  # noqa: BLE001 - whatever ails a shadow, it is to be counted and hurts nobody
            self._failed(shadow, error, self._timer() - start)
        else:
            self._answered(shadow, items, answer, self._timer() - start)
        now = self._timer()
        self._rests_until = now + (now - start) * (1 / TIME_SHARE - 1)

    def _answered(self, shadow: TrialModel, items: tuple[ItemId, ...], answer: Recommendation, seconds: float) -> None:
        alike = overlap(tuple(each.item_id for each in answer.items), items)
        shadow.tally.trial.call(seconds, failed=False)
        shadow.tally.compared(alike)
        self._recorder.trial_answer(shadow.trial.kind, "answered")
        log.debug(
            "shadow_answered",
            model_version=answer.model_version,
            shadow_version=shadow.model.version,
            overlap_at_10=alike,
            took_s=round(seconds, 6),
            items=items,
        )

    def _failed(self, shadow: TrialModel, error: Exception, seconds: float) -> None:
        shadow.tally.trial.call(seconds, failed=True)
        self._recorder.trial_answer(shadow.trial.kind, "failed")
        if shadow.trial.first != self._failed_trial:  # said once a trial: it may fail for every request
            log.error("shadow_failed", shadow_version=shadow.model.version, error=f"{type(error).__name__}: {error}")
        self._failed_trial = shadow.trial.first


def _answer(question: Question) -> tuple[ItemId, ...]:
    """What the model would have answered; blocks. Raises BundleBroken."""
    return tuple(each.item_id for each in question.model.scored_items(*question.answered()))
