"""One housekeeping: of the log, retention, erasure, compaction, deleting what no version needs; then of the models.

In this order, so that nothing is compacted that is dropped, and what compaction replaces is deleted some night later.
Erasure takes two of them: the first takes the users out of the newest version, and a later one, once nobody can be
reading the old files any more, deletes those and closes the wish.

What a user did before their wish may arrive long after it: from a writer that was away, a replay, an import, a backup.
So every wish there ever was is looked for each time, in all files and in the online store, and one that was closed is
opened again when something came.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.domain.errors import BundleStoreDown, CatalogDown, FeatureStoreDown, NightjarError
from services.domain.ids import ModelVersion
from services.domain.log_keeping import Cleaned, Compacted, Erased, LogKeeper
from services.domain.model_keeping import ModelKeeper, ModelsCleaned
from services.domain.models import ModelState
from services.domain.ports import Clock, ModelRegistry, UserDirectory, UserForgetter
from services.domain.runs import Run, RunBook, RunState
from services.domain.users import Erasure
from services.lease import kept_alive

KIND: Final = "housekeeping"
_DAY_S: Final = 86_400
_CHANGES_LOOKED_AT: Final = 1_000  # of the live model; the pinned versions are among the newest of them
_MODELS_LOOKED_AT: Final = 1_000  # for candidates; larger than any number of models of a few days
_FORGOTTEN_TOGETHER: Final = 10_000  # larger: more memory, slower to end when told to; smaller: more round trips

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rules:
    """The operator's bounds. `keep_models`: the live model and those live before it whose data is kept.

    `keep_candidates_days`: for how long the data of a model that passed the gate is kept, so that it can go live.
    """

    retention_days: int | None
    min_age_h: int
    keep_models: int
    keep_candidates_days: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, or with a dry run, what would be."""

    dates_dropped: int
    erased: Erased
    compacted: Compacted
    cleaned: Cleaned
    pinned: Sequence[int]
    erasures_closed: int
    erasures_open: int
    erasures_reopened: int
    """Of the open ones: those that were fulfilled, until something of before came late."""
    online_store_away: bool
    """It could not be told to forget, so no erasure was fulfilled."""
    models: ModelsCleaned = field(default_factory=ModelsCleaned)

    @property
    def sentence(self) -> str:
        cleaned, merged = self.cleaned, self.compacted
        told = {
            f"{self.dates_dropped} dates dropped by age": self.dates_dropped,
            f"{self.erased.num_events} events of erased users deleted": self.erased.num_events,
            f"{self.erased.num_dates_left} dates with erased users put off": self.erased.num_dates_left,
            f"{merged.num_files_before} files merged into {merged.num_files_after}": merged.num_dates,
            f"{cleaned.num_files} old files deleted": cleaned.num_files,
            f"{cleaned.num_commits} old commits forgotten": cleaned.num_commits,
            f"{self.erasures_closed} erasures fulfilled": self.erasures_closed,
            f"{self.erasures_open} erasures wait until old files may be deleted": self.erasures_open,
            f"{self.erasures_reopened} of them were fulfilled before something came late": self.erasures_reopened,
            "none was fulfilled, because Redis did not answer": self.online_store_away,
            f"log versions {_listed(cleaned.given_up)} of models are given up to an erasure": cleaned.given_up,
            f"log versions {_listed(cleaned.missing)} of models were gone already, to an erasure or because no model "
            "that is kept named them": cleaned.missing,
        }
        done = [*(sentence for sentence, told_of in told.items() if told_of), *self.models.sentences]
        return f"{'; '.join(done)}." if done else "There was nothing to do."


@dataclass(frozen=True)
class Housekeeping:
    """The use case and what it stands on. `stopping` turns true when the process is asked to end."""

    keeper: LogKeeper
    registry: ModelRegistry
    users: UserDirectory
    online: UserForgetter | None
    """None where there is no online store."""
    runs: RunBook
    clock: Clock
    rules: Rules
    stopping: Callable[[], bool]
    models: ModelKeeper | None = None
    """None: no model is cleaned up."""

    def run(self, trigger: str) -> Run | None:
        """Does it, unless somebody is at it on this database, then None; blocks. Raises CatalogDown at the start."""
        run = self.runs.begin(KIND, trigger)
        if run is None:
            log.warning("housekeeping_skipped", trigger=trigger, why="another one is going on")
            return None
        log.info("housekeeping_started", run_id=run.run_id, trigger=trigger)
        with kept_alive(self.runs, run) as is_ours:
            state, detail = self._outcome(lambda: is_ours() and not self.stopping())
        log.info("housekeeping_ended", run_id=run.run_id, state=state.value, detail=detail)
        try:
            if not self.runs.finish(run, state, detail=detail):
                log.warning("housekeeping_not_recorded", run_id=run.run_id, why="its lease ran out before")
        except CatalogDown as error:
            log.warning("housekeeping_not_recorded", run_id=run.run_id, why=str(error))
        return replace(run, state=state, detail=detail)

    def look(self) -> Report:
        """What a run would do now; changes nothing. Raises CatalogDown and EventLogDown."""
        return self._kept_house(lambda: True, dry_run=True)

    def _outcome(self, keep_going: Callable[[], bool]) -> tuple[RunState, str]:
        try:
            report = self._kept_house(keep_going, dry_run=False)
        except NightjarError as error:
            return RunState.FAILED, str(error)
        except Exception as error:  # the outermost frame of the scheduler's thread
            log.exception("housekeeping_broke")
            return RunState.FAILED, f"Unexpected {type(error).__name__}; the log has the rest."
        if not keep_going():
            return RunState.FAILED, f"It was ended before it was through: {report.sentence}"
        return RunState.SUCCEEDED, report.sentence

    def _kept_house(self, keep_going: Callable[[], bool], *, dry_run: bool) -> Report:
        wishes, still_open = self.users.erasures(), set(self.users.open_erasures())
        pinned, dropped, keeper = self._pinned(), 0, self.keeper
        if self.rules.retention_days is not None:
            today = int(self.clock.now().timestamp()) // _DAY_S
            dropped = keeper.drop_before(today - self.rules.retention_days, dry_run=dry_run)
        erased = keeper.erase(wishes, keep_going, dry_run=dry_run)
        compacted = keeper.compact(keep_going, dry_run=dry_run)
        if not keep_going():
            nothing = Cleaned(0, 0, (), (), (), ())
            return Report(dropped, erased, compacted, nothing, pinned, 0, len(still_open), 0, online_store_away=False)
        cleaned = keeper.clean(pinned, wishes, self.rules.min_age_h, dry_run=dry_run)
        came_late = [wish for wish in cleaned.seen if wish not in still_open]
        is_away = False
        if not dry_run:
            self.users.reopen_erasures(came_late)
            is_away = not self._forgotten_online(wishes, keep_going)
        done = [] if is_away else self._fulfilled(still_open, cleaned)
        if done and not dry_run:
            self.users.close_erasures(done)
        return Report(
            dropped,
            erased,
            compacted,
            cleaned,
            pinned,
            erasures_closed=len(done),
            erasures_open=len(still_open) + len(came_late) - len(done),
            erasures_reopened=len(came_late),
            online_store_away=is_away,
            models=self._cleaned_models(keep_going, dry_run=dry_run),
        )

    def _cleaned_models(self, keep_going: Callable[[], bool], *, dry_run: bool) -> ModelsCleaned:
        """Last, and a store that is away fails nothing else: it is tried again the next night."""
        if self.models is None or not keep_going():
            return ModelsCleaned()
        try:
            return self.models.clean(keep_going, dry_run=dry_run)
        except BundleStoreDown as error:
            log.warning("models_not_cleaned", why=str(error))
            return ModelsCleaned(problem=str(error))

    def _pinned(self) -> list[int]:
        since = self.clock.now() - timedelta(days=self.rules.keep_candidates_days)
        live_once = pinned_versions(self.registry, self.rules.keep_models)
        by_operators = (model.data_version for model in self.registry.everything() if model.pin is not None)
        return sorted({*live_once, *candidates(self.registry, since), *by_operators})

    def _forgotten_online(self, wishes: Sequence[Erasure], keep_going: Callable[[], bool]) -> bool:
        """Whether the online store forgot all of them, again: a writer that lagged may have brought something back."""
        if self.online is None:
            return True
        for start in range(0, len(wishes), _FORGOTTEN_TOGETHER):
            if not keep_going():
                return False
            try:
                self.online.forget(wishes[start : start + _FORGOTTEN_TOGETHER])
            except FeatureStoreDown as error:
                log.warning("not_forgotten_online", why=str(error))
                return False
        return True

    def _fulfilled(self, still_open: Collection[Erasure], cleaned: Cleaned) -> list[Erasure]:
        """Wishes of which nothing is left on disk, and that are so old that most of before has arrived."""
        pending = set(cleaned.pending)
        settled_us = int((self.clock.now() - timedelta(hours=self.rules.min_age_h)).timestamp() * 1_000_000)
        return [wish for wish in still_open if wish not in pending and wish.request_time_us <= settled_us]


def pinned_versions(registry: ModelRegistry, keep_models: int) -> list[int]:
    """The log's versions that the live model and those live before it were trained on, `keep_models` models at most."""
    live_once: dict[ModelVersion, None] = {}
    for change in registry.assignments(_CHANGES_LOOKED_AT):
        live_once.setdefault(change.version)
    return sorted({registry.get(version).data_version for version in list(live_once)[:keep_models]})


def candidates(registry: ModelRegistry, since: datetime) -> list[int]:
    """The log's versions that models made since then and passed by the gate were trained on: those may go live yet."""
    return sorted(
        {
            model.data_version
            for model in registry.newest(_MODELS_LOOKED_AT)
            if model.created_time >= since and model.state(live=None) is ModelState.PASSED
        }
    )


def _listed(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))
