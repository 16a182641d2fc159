"""Trials in a list and a dict, beside a fake registry, and a maker of trials."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.domain.fleet import MAX_PROBLEM
from services.domain.ids import ModelVersion
from services.domain.ports import Clock
from services.domain.trials import ModelTrial, TrialKind, TrialReport, going_on
from tests.fakes.clock import START, FakeClock
from tests.fakes.model_registry import FakeModelRegistry


def trial(kind: TrialKind, version: str, share: float = 1.0, number: int = 1) -> ModelTrial:
    """One that began with this change."""
    return ModelTrial(number, kind, ModelVersion(version), share, number, "test", "", START)


class FakeTrials:
    """`before_change` runs at each change before it looks: a test's way to win the race against the caller."""

    def __init__(self, registry: FakeModelRegistry, clock: Clock | None = None) -> None:
        self._registry = registry
        self._clock = clock or FakeClock()
        self._changes: list[ModelTrial] = []
        self._reports: dict[tuple[int, str], TrialReport] = {}
        self._lock = threading.Lock()
        self.before_change: Callable[[], object] = lambda: None
        registry.trials = lambda: self._changes

    def current(self) -> Sequence[ModelTrial]:
        return going_on(self._changes)

    def changes(self, limit: int) -> Sequence[ModelTrial]:
        return self._changes[::-1][:limit]

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
        self.before_change()
        self._registry.get(version) if share == 0 else self._registry.there(version)
        number = expected_number + 1
        new = ModelTrial(
            number, kind, version, share, first or number, actor, reason, self._clock.now(), override=override
        )
        with self._lock:
            if expected_number != len(self._changes):
                return None
            self._changes.append(new)
        return new

    def report(self, report: TrialReport) -> None:
        self._reports[report.first, report.worker_id] = replace(report, problem=report.problem[:MAX_PROBLEM])

    def reports(self, first: int) -> Sequence[TrialReport]:
        mine = [each for each in self._reports.values() if each.first == first]
        return sorted(mine, key=lambda each: each.worker_id)
