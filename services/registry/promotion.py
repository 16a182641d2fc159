"""Promotion and rollback: the only ways the live model changes. Every change is one line of the audit log.

Each has two phases: the workers get the version ready (`rollout`), then the assignment is written and all follow it at
once. Without a rollout there is the second alone, and each worker loads when it sees the change.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import structlog

from services.domain.audit_words import check_actor, checked_reason
from services.domain.errors import BundleDeleted, CatalogDown, GateNotPassed
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Model, Verdict
from services.domain.ports import ModelRegistry, Notice
from services.registry.gate import GateRules, judge
from services.registry.history import rollback_target
from services.registry.rollout import Rollout

ATTEMPTS: Final = 5  # races lost in a row that are still chance; more means that two programs fight

log = structlog.get_logger(__name__)


def promote(
    registry: ModelRegistry,
    notice: Notice,
    version: ModelVersion,
    actor: str,
    override_reason: str = "",
    *,
    rollout: Rollout | None = None,
) -> Assignment:
    """Makes a version live and records who did; the version that is live already is returned as it is. Blocks.

    Raises UnknownVersion; BundleDeleted; GateNotPassed when the gate did not pass it and there is no override reason;
    InvalidRequest for a bad actor or reason; WorkersNotReady and SwapUnderWay; CatalogDown also when others keep
    changing the live model meanwhile.
    """
    check_actor(actor)
    reason = checked_reason("override_reason", override_reason)
    model = registry.get(version)
    for _ in range(ATTEMPTS):
        live = registry.live()
        if live is not None and live.version == version:
            return live
        override = needs_override(model, reason)
        generation = 0 if live is None else live.generation
        with _prepared(rollout, version, generation):
            assigned = registry.assign(
                version,
                actor=actor,
                reason=reason or "passed the gate",
                override=override,
                expected_generation=generation,
            )
            if assigned is not None:
                _announce(notice, assigned)
                if rollout is not None:
                    rollout.settle(assigned)
                return assigned
    raise _contended()


def rollback(
    registry: ModelRegistry, notice: Notice, actor: str, reason: str = "", *, rollout: Rollout | None = None
) -> Assignment:
    """Makes the version live that served before the present one (`rollback_target`) and records who did. Blocks.

    When somebody else's change comes first, so that the present version is no longer live, their change is returned:
    what was to be taken back is gone, and nobody asked to take back theirs. A promotion that is being prepared gives
    way to a rollback. Raises NothingToRollBack, InvalidRequest, and the errors of `promote`.
    """
    check_actor(actor)
    reason = checked_reason("reason", reason)
    unwanted = None
    for _ in range(ATTEMPTS):
        live = registry.live()
        if live is not None and unwanted not in (None, live.version):
            return live
        target = rollback_target(registry)
        unwanted = None if live is None else live.version
        generation = 0 if live is None else live.generation
        with _prepared(rollout, target.version, generation, is_urgent=True):
            assigned = registry.assign(
                target.version,
                actor=actor,
                reason=reason or f"rolled back from {unwanted}",
                override=target.override,
                expected_generation=generation,
                restores=target.generation,
            )
            if assigned is not None:
                _announce(notice, assigned)
                if rollout is not None:
                    rollout.settle(assigned)
                return assigned
    raise _contended()


def gate_and_promote(
    registry: ModelRegistry,
    notice: Notice,
    version: ModelVersion,
    rules: GateRules,
    actor: str,
    *,
    figures: Mapping[str, float] | None = None,
    rollout: Rollout | None = None,
) -> Verdict:
    """Judges a version, stores the verdict, and makes it live when it passed. Blocks; see `promote`.

    figures: what was measured of it, beside the champion if there is one; None: what its training measured, without.
    """
    verdict = judge(registry.get(version).metrics if figures is None else figures, rules)
    registry.judge(version, verdict)
    log.info(
        "model_judged", version=version, passed=verdict.passed, findings=[each.sentence for each in verdict.findings]
    )
    if verdict.passed:
        promote(registry, notice, version, actor, rollout=rollout)
    return verdict


def needs_override(model: Model, override_reason: str) -> bool:
    """True when only an operator's word lets the model serve.

    Raises GateNotPassed when there is none, and BundleDeleted where no word would help.
    """
    if model.deleted_time is not None:
        raise BundleDeleted(
            f"Version {model.version} cannot serve: clean-up deleted its bundle on {model.deleted_time:%Y-%m-%d}."
        )
    if model.verdict is not None and model.verdict.passed:
        return False
    if override_reason.strip():
        return True
    found = "The gate has not judged it yet."
    if model.verdict is not None:
        found = " ".join(finding.sentence for finding in model.verdict.findings if not finding.passed)
    raise GateNotPassed(
        f"Version {model.version} may not serve: {found} An override reason makes it live all the same."
    )


def _prepared(
    rollout: Rollout | None, version: ModelVersion, generation: int, *, is_urgent: bool = False
) -> AbstractContextManager[None]:
    return nullcontext() if rollout is None else rollout.prepared(version, generation, is_urgent=is_urgent)


def _announce(notice: Notice, assigned: Assignment) -> None:
    log.info("live_model_changed", version=assigned.version, generation=assigned.generation, actor=assigned.actor)
    try:
        notice.announce(assigned.generation)
    except Exception as error:  # noqa: BLE001 - the change is made; whatever ails the notice, workers also poll
        log.warning("live_model_notice_failed", generation=assigned.generation, error=str(error))


def _contended() -> CatalogDown:
    return CatalogDown(
        "The live model kept changing under this request; look at `nightjar models list`, then try again."
    )
