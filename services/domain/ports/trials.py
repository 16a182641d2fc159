"""Trials of versions beside the live one, and what workers say of them."""

from collections.abc import Sequence
from typing import Protocol

from services.domain.ids import ModelVersion
from services.domain.trials import ModelTrial, TrialKind, TrialReport


class Trials(Protocol):
    """At most one canary and one shadow. All of it blocks and raises CatalogDown."""

    def current(self) -> Sequence[ModelTrial]:
        """Those that are not over, a canary before a shadow."""
        ...

    def changes(self, limit: int) -> Sequence[ModelTrial]:
        """All changes of both kinds, newest first: the audit log."""
        ...

    def change(
        self,
        kind: TrialKind,
        version: ModelVersion,
        *,
        share: float,
        actor: str,
        reason: str,
        expected_number: int,
        override: bool = False,
        first: int | None = None,
    ) -> ModelTrial | None:
        """Writes a change if the newest is still the expected one (0: there never was one), else None.

        first: of the trial that goes on or ends; None: a new one begins. Raises UnknownVersion, and BundleDeleted
        unless it ends.
        """
        ...

    def report(self, report: TrialReport) -> None:
        """Writes down what a worker says of a trial, over what it said before."""
        ...

    def reports(self, first: int) -> Sequence[TrialReport]:
        """What workers said of a trial, those that are gone too, by worker."""
        ...
