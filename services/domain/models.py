"""Registered models, what the gate found, and which one serves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.domain.ids import ModelVersion


class ModelState(StrEnum):
    REGISTERED = "registered"
    REFUSED = "refused"
    PASSED = "passed"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure's confidence interval, both ends included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule of the gate: its figure, its threshold, and whether it held. `sentence` is for people."""

    rule: str
    figure: float
    threshold: float
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return bool(self.findings) and all(finding.passed for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Model:
    """One registered version; only its verdict, and through the assignment its state, are added later."""

    version: ModelVersion
    kind: str
    created_time: datetime
    location: str
    """Where the bundle store keeps the bundle; only that store can read it."""
    digest: str
    """SHA-256 of the manifest, hexadecimal."""
    data_version: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None

    def state(self, live: ModelVersion | None) -> ModelState:
        if self.version == live:
            return ModelState.LIVE
        if self.verdict is None:
            return ModelState.REGISTERED
        return ModelState.PASSED if self.verdict.passed else ModelState.REFUSED


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which version serves since which change. Generations count up by one and never repeat."""

    generation: int
    version: ModelVersion
    actor: str
    reason: str
    change_time: datetime
    override: bool = False
    """True when an operator promoted it although the gate had not passed it."""
    restores: int | None = None
    """For a rollback, the generation of the promotion it went back to; None for a promotion."""
