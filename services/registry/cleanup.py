"""Clean-up: which models are kept, and how the others' bundles and rows are deleted.

Kept are those that serve or are on trial, served last or may serve yet, those that an operator or an open night names,
and what the ones that served, or are pinned, were started from, so that they can be trained again. A version is first
marked as deleted, which no promotion passes, then its bundle goes, then its row; a crash in between is made up for.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from services.domain.ids import ModelVersion
from services.domain.model_keeping import ModelsCleaned, StoredBundle
from services.domain.models import Model
from services.domain.ports import Clock, Fleet, ModelRegistry, Trials
from services.domain.ports.models import BundleKeeper
from services.registry.history import MAX_CHANGES

UNKNOWN_AFTER: Final = timedelta(
    days=1
)  # larger: leftovers of crashes stay; smaller: one that is registered just now goes

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeepRules:
    """The operator's bounds; see log.keep_models, bundles.keep_newest and log.keep_candidates_days."""

    live_once: int
    newest: int
    days: int


@dataclass(frozen=True)
class CleanUp:
    """Fulfils ModelKeeper. in_hand: what else must be kept, of all models, such as those of a night that goes on."""

    registry: ModelRegistry
    bundles: BundleKeeper
    fleet: Fleet
    trials: Trials
    clock: Clock
    rules: KeepRules
    in_hand: Callable[[Sequence[Model]], Collection[ModelVersion]]

    def clean(self, keep_going: Callable[[], bool], *, dry_run: bool) -> ModelsCleaned:
        """See ModelKeeper."""
        models = self.registry.everything()
        stored = {each.location: each for each in self.bundles.stored()}
        kept, named = self._kept(models), self._named()
        deleted, in_use, num_rows = list[ModelVersion](), list[ModelVersion](), 0
        for model in models:
            if model.version in kept or _is_done(model, stored, named) or not keep_going():
                continue
            if not self._may_go(model, dry_run=dry_run):
                in_use.append(model.version)
                continue
            if model.location in stored:
                deleted.append(model.version)
                self._delete(model.location, dry_run=dry_run)
            num_rows += model.version not in named if dry_run else self.registry.forget(model.version)
        unknown, num_strange = self._unknown(models, stored) if keep_going() else ((), 0)
        for location in unknown:
            self._delete(location, dry_run=dry_run)
        return ModelsCleaned(tuple(deleted), num_rows, tuple(in_use), tuple(unknown), num_strange)

    def _may_go(self, model: Model, *, dry_run: bool) -> bool:
        """From here on, unless it is a dry run, nobody can promote it."""
        return model.version not in self._held() and (dry_run or self.registry.retire(model.version))

    def _delete(self, location: str, *, dry_run: bool) -> None:
        if not dry_run:
            self.bundles.delete(location)
            log.info("bundle_deleted", location=location)

    def _kept(self, models: Sequence[Model]) -> set[ModelVersion]:
        oldest = self.clock.now() - timedelta(days=self.rules.days)
        live_once = list(dict.fromkeys(change.version for change in self.registry.assignments(MAX_CHANGES)))
        repeatable = {*live_once[: self.rules.live_once], *(each.version for each in models if each.pin is not None)}
        parents = {each.parent for each in models if each.version in repeatable and each.parent is not None}
        newest = (each.version for each in models[: self.rules.newest])
        young = (each.version for each in models if each.created_time >= oldest)
        on_trial = (each.version for each in self.trials.current())
        return {*repeatable, *parents, *newest, *young, *on_trial, *self.in_hand(models)}

    def _named(self) -> set[ModelVersion]:
        """By an audit log."""
        promoted = {each.version for each in self.registry.assignments(MAX_CHANGES)}
        return promoted.union(each.version for each in self.trials.changes(MAX_CHANGES))

    def _held(self) -> set[ModelVersion]:
        """What workers hold or get ready, asked anew each time: they change their minds while this goes on."""
        preparation = self.fleet.preparation()
        preparing = set() if preparation is None else {preparation.version}
        return preparing.union(*(worker.held for worker in self.fleet.workers()))

    def _unknown(self, models: Sequence[Model], stored: dict[str, StoredBundle]) -> tuple[Collection[str], int]:
        """Bundles that a crash left before they were registered; and how many there are if they can't all be that."""
        known, oldest = {model.location for model in models}, self.clock.now() - UNKNOWN_AFTER
        held = self._held()
        unknown = [each.location for each in stored.values() if each.location not in known]
        if len(unknown) > len(known.intersection(stored)):
            return (), len(unknown)
        old = (location for location in unknown if stored[location].published_time < oldest)
        return [location for location in old if ModelVersion(location) not in held], 0


def _is_done(model: Model, stored: Collection[str], named: Collection[ModelVersion]) -> bool:
    """Whether nothing is left of it but the row that the audit log needs."""
    return model.deleted_time is not None and model.location not in stored and model.version in named
