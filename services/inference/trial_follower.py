"""The follower of trials: keeps the trial slot on the canary and the shadow there are, and says what came of them.

A model is loaded beside the requests, verified and warmed up, as for a swap; until it is there, and where it cannot be
loaded, the live model answers all. While the database is away, what is held goes on (law 6).
"""

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from services.domain.errors import CatalogDown
from services.domain.ports import Clock, ModelRegistry, Trials
from services.domain.trials import ModelTrial, TrialFigures, TrialKind, TrialReport
from services.inference.catalog_follower import CatalogFollower, Polling
from services.inference.follower import FIRST_RETRY, LONGEST_RETRY
from services.inference.freed_memory import give_back
from services.inference.model_slot import Load
from services.inference.trial_slot import TrialModel, TrialSlot

log = structlog.get_logger(__name__)

REPORT_EVERY: Final = timedelta(seconds=2)  # larger: operators see less of now; smaller: more writes a worker


@dataclass(frozen=True, slots=True)
class _Problem:
    """Why a trial's model is not there, and when it is tried again."""

    first: int
    text: str
    pause: timedelta
    retry_time: datetime


class TrialFollower(CatalogFollower):
    def __init__(
        self,
        worker_id: str,
        slot: TrialSlot,
        load: Load,
        registry: ModelRegistry,
        trials: Trials,
        clock: Clock,
    ) -> None:
        super().__init__(Polling())
        self._worker_id = worker_id
        self._slot = slot
        self._load = load
        self._registry = registry
        self._trials = trials
        self._clock = clock
        self._wanted: dict[TrialKind, ModelTrial] = {}
        self._loading: dict[TrialKind, asyncio.Task[None]] = {}
        self._problems: dict[TrialKind, _Problem] = {}
        self._reported: dict[TrialKind, TrialReport] = {}
        self._is_first = True
        self._has_let_go = False

    async def catch_up(self) -> None:
        """Asks once which trials there are, lets go of what is over, begins to load what is new, and reports.

        The first time it waits for the loads, so that a worker that starts gives its users the side they had.
        """
        if self._has_let_go:
            self._has_let_go = False
            await asyncio.to_thread(give_back)
        try:
            current = await self._ask(self._trials.current)
            self._wanted = {each.kind: each for each in current}
            for kind in TrialKind:
                await self._follow(kind)
            if self._is_first:
                self._is_first = False
                await asyncio.gather(*self._loading.values())
            for kind in TrialKind:
                await self._report(kind)
        except CatalogDown as error:
            self._catalog_went(error, still_on_trial=[each.model.version for each in self._slot.all()])
            return
        self._catalog_came_back()

    async def leave(self) -> None:
        """Says the last word on every trial, as far as the database takes it."""
        try:
            for held in self._slot.all():
                await self._say(held.trial.kind, self._word(held.trial, held.tally.now, is_held=False))
        except CatalogDown:
            log.info("trial_figures_lost", why="the database is down; the last seconds are not counted")

    async def _follow(self, kind: TrialKind) -> None:
        held, wanted = self._slot.of(kind), self._wanted.get(kind)
        if held is not None and (wanted is None or wanted.first != held.trial.first):
            await self._end(held)
            held = None
        if held is not None and wanted is not None and wanted != held.trial:
            self._slot.change(wanted)
        elif held is None and wanted is not None and self._is_due(wanted):
            task = self._loading.get(kind)
            if task is None or task.done():
                self._loading[kind] = asyncio.create_task(self._begin(wanted))

    def _is_due(self, trial: ModelTrial) -> bool:
        problem = self._problems.get(trial.kind)
        return problem is None or problem.first != trial.first or self._clock.now() >= problem.retry_time

    async def _begin(self, trial: ModelTrial) -> None:
        start = time.perf_counter()
        try:
            registered = await self._ask(partial(self._registry.get, trial.version))
            model = await self._load(registered)
            held = await asyncio.to_thread(self._slot.ready, trial, model, registered.digest)
        except CatalogDown:
            return  # the next poll tries again
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the live model answers all
            self._failed(trial, error)
            return
        wanted = self._wanted.get(trial.kind)
        if wanted is None or wanted.first != trial.first:
            self._has_let_go = True
            return  # it ended meanwhile
        self._problems.pop(trial.kind, None)
        self._slot.hold(replace(held, trial=wanted))
        load_s = round(time.perf_counter() - start, 3)
        log.info("trial_began", kind=trial.kind, version=trial.version, share=wanted.share, load_s=load_s)

    def _failed(self, trial: ModelTrial, error: Exception) -> None:
        before = self._problems.get(trial.kind)
        again = before is not None and before.first == trial.first
        pause = min(before.pause * 2, LONGEST_RETRY) if before is not None and again else FIRST_RETRY
        text = f"{type(error).__name__}: {error}"
        self._problems[trial.kind] = _Problem(trial.first, text, pause, self._clock.now() + pause)
        log.error("trial_not_loaded", kind=trial.kind, version=trial.version, retry_s=pause.total_seconds(), error=text)

    async def _end(self, held: TrialModel) -> None:
        kind = held.trial.kind
        self._slot.let_go(kind)
        self._has_let_go = True
        log.info("trial_over", kind=kind, version=held.trial.version)
        await self._say(kind, self._word(held.trial, held.tally.now, is_held=False))

    async def _report(self, kind: TrialKind) -> None:
        held, problem, wanted = self._slot.of(kind), self._problems.get(kind), self._wanted.get(kind)
        if held is not None:
            word = self._word(held.trial, held.tally.now, is_held=True)
        elif wanted is not None and problem is not None and problem.first == wanted.first:
            word = self._word(wanted, TrialFigures(), is_held=False, problem=problem.text)
        else:
            return
        last = self._reported.get(kind)
        is_news = last is None or (last.first, last.is_held, last.problem) != (word.first, word.is_held, word.problem)
        is_due = last is None or abs(word.report_time - last.report_time) >= REPORT_EVERY  # a clock may be set back
        if is_news or (is_due and last is not None and last.figures != word.figures):
            await self._say(kind, word)

    def _word(self, trial: ModelTrial, figures: TrialFigures, *, is_held: bool, problem: str = "") -> TrialReport:
        return TrialReport(trial.first, self._worker_id, self._clock.now(), is_held, problem, figures)

    async def _say(self, kind: TrialKind, word: TrialReport) -> None:
        await self._ask(partial(self._trials.report, word))
        self._reported[kind] = word
