"""Which version a rollback goes back to, read from the audit log."""

from collections.abc import Iterator, Mapping
from typing import Final

from services.domain.errors import NothingToRollBack
from services.domain.models import Assignment
from services.domain.ports import ModelRegistry

MAX_CHANGES: Final = 1_000  # how far back the audit log is walked: years of nights, one short query


def rollback_target(registry: ModelRegistry) -> Assignment:
    """The promotion that a rollback brings back: the last one before the present that may serve.

    The log reads like an editor's undo: a promotion adds to the past, a rollback moves back in it, so two rollbacks in
    a row go two versions back. A version that neither passed the gate nor was promoted by override at that time (say,
    because it was judged again and refused) is passed over, and so is one whose bundle was deleted.
    Raises NothingToRollBack.
    """
    log = {change.generation: change for change in registry.assignments(MAX_CHANGES)}
    if not log:
        raise NothingToRollBack("No model was ever live; promote one with `nightjar models promote VERSION`.")
    live = log[max(log)]
    for earlier in _before(live, log):
        if earlier.version == live.version:
            continue
        model = registry.get(earlier.version)
        if model.deleted_time is not None:
            continue
        verdict = model.verdict
        if earlier.override or (verdict is not None and verdict.passed):
            return earlier
    raise NothingToRollBack(
        f"No version that may serve was live before {live.version}; "
        "promote another with `nightjar models promote VERSION`."
    )


def _before(live: Assignment, log: Mapping[int, Assignment]) -> Iterator[Assignment]:
    """The promotions whose versions served before the live one, newest first, without what was rolled back."""
    promotion = _promotion(live)
    while (previous := log.get(promotion - 1)) is not None:
        promotion = _promotion(previous)
        if promotion in log:
            yield log[promotion]


def _promotion(change: Assignment) -> int:
    """The generation of the promotion that a change put in force."""
    return change.generation if change.restores is None else change.restores
