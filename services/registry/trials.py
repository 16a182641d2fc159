"""Trials: how a version comes to work beside the live one, and stops. Every change is one line of the audit log."""

from typing import Final

import structlog

from services.domain.audit_words import check_actor, checked_reason
from services.domain.errors import BundleDeleted, CatalogDown, InvalidRequest, TrialUnderWay
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Model
from services.domain.ports import BundleStore, ModelRegistry, Trials
from services.domain.trials import ModelTrial, TrialKind
from services.registry.promotion import needs_override

ATTEMPTS: Final = 5  # races lost in a row that are still chance; more means that two programs fight

log = structlog.get_logger(__name__)


def start(
    registry: ModelRegistry,
    trials: Trials,
    bundles: BundleStore,
    kind: TrialKind,
    version: ModelVersion,
    *,
    share: float,
    actor: str,
    override_reason: str = "",
    dry_run: bool = False,
) -> ModelTrial | None:
    """Has a version answer a share of the users, or be asked beside the answer; may be repeated. Blocks.

    Of the version that is on trial already it changes the share: the users it has stay as far as they fit. A shadow
    needs no gate, since nobody sees it. dry_run: checks all, changes nothing, and returns None where it would.

    Raises UnknownVersion, BundleDeleted, BundleBroken and BundleStoreDown; GateNotPassed for a canary that did not pass
    and has no override reason; TrialUnderWay while another version is on that trial; InvalidRequest for the version
    that is live, a share outside 0 to 1, a bad actor or reason; CatalogDown.
    """
    check_actor(actor)
    reason = checked_reason("override_reason", override_reason)
    if not 0 < share <= 1:  # not a number is neither
        raise InvalidRequest("share", f"is {share:g}; above 0 and up to 1 is allowed")
    model = registry.get(version)
    override = _may_begin(model, kind, reason)
    bundles.fetch(model.location)  # compares every file with its sum, so that no worker need find out
    for _ in range(ATTEMPTS):
        number = _number(trials)
        present = _present(trials, kind)
        if present is not None and present.version != version:
            raise TrialUnderWay(
                f"Version {present.version} is the {kind} already; end it first: nightjar models end {kind}"
            )
        if present is not None and present.share == share:
            return present
        _check_not_live(registry, version)
        if dry_run:
            return None
        changed = trials.change(
            kind,
            version,
            share=share,
            actor=actor,
            reason=reason,
            override=override,
            expected_number=number,
            first=None if present is None else present.first,
        )
        if changed is not None:
            log.info("trial_changed", kind=kind, version=version, share=share, number=changed.number, actor=actor)
            return changed
    raise _contended()


def end(trials: Trials, kind: TrialKind, actor: str, reason: str = "") -> ModelTrial | None:
    """Ends a trial: its users get the live model from their next request on. None when there is none; blocks.

    Raises InvalidRequest for a bad actor or reason, and CatalogDown.
    """
    check_actor(actor)
    reason = checked_reason("reason", reason)
    unwanted = None
    for _ in range(ATTEMPTS):
        number = _number(trials)
        present = _present(trials, kind)
        if present is None or unwanted not in (None, present.version):
            return None  # the one that was to end has; nobody asked to end another
        unwanted = present.version
        ended = _ended(trials, present, number, actor, reason or "ended")
        if ended is not None:
            return ended
    raise _contended()


def end_those_of(trials: Trials, assigned: Assignment) -> None:
    """Ends the trials of a version that is live now, since they have nothing left to show. Raises CatalogDown."""
    for _ in range(ATTEMPTS):
        number = _number(trials)
        moot = [each for each in trials.current() if each.version == assigned.version]
        if not moot:
            return
        _ended(trials, moot[0], number, assigned.actor, f"live since generation {assigned.generation}")
    raise _contended()


def _may_begin(model: Model, kind: TrialKind, reason: str) -> bool:
    """Whether it is an operator's word alone that lets it begin (law 4)."""
    if kind is TrialKind.CANARY:
        return needs_override(model, reason)
    if model.deleted_time is not None:
        raise BundleDeleted(f"The bundle of version {model.version} was deleted by clean-up.")
    return False


def _check_not_live(registry: ModelRegistry, version: ModelVersion) -> None:
    live = registry.live()
    if live is not None and live.version == version:
        raise InvalidRequest("version", f"{version} is live already, so a trial of it would show nothing")


def _ended(trials: Trials, present: ModelTrial, number: int, actor: str, reason: str) -> ModelTrial | None:
    ended = trials.change(
        present.kind,
        present.version,
        share=0.0,
        actor=actor,
        reason=reason,
        override=present.override,
        expected_number=number,
        first=present.first,
    )
    if ended is not None:
        log.info("trial_ended", kind=ended.kind, version=ended.version, number=ended.number, actor=actor, why=reason)
    return ended


def _number(trials: Trials) -> int:
    """Of the newest change; to be read before what it is to be changed from."""
    return next((each.number for each in trials.changes(limit=1)), 0)


def _present(trials: Trials, kind: TrialKind) -> ModelTrial | None:
    return next((each for each in trials.current() if each.kind is kind), None)


def _contended() -> CatalogDown:
    return CatalogDown("Trials kept changing under this request; look at `nightjar models trials`, then try again.")
