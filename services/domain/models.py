"""Registered models, what the gate found, and which one serves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

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
class StageCost:
    """What a stage of training took."""

    wall_s: float
    cpu_s: float
    """Of all threads, and of all workers where several fit one model."""
    gpu_s: float | None = None
    """For how long GPUs were held, summed over them; None without any."""
    energy_j: float | None = None
    """What the machine's processors took meanwhile, other work included; None where it cannot be read."""

    def __add__(self, other: "StageCost") -> "StageCost":
        has_gpu = self.gpu_s is not None or other.gpu_s is not None
        gpu_s = (self.gpu_s or 0.0) + (other.gpu_s or 0.0) if has_gpu else None
        has_energy = self.energy_j is not None or other.energy_j is not None
        energy_j = (self.energy_j or 0.0) + (other.energy_j or 0.0) if has_energy else None
        return StageCost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s, gpu_s, energy_j)


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a version came about, for people and for whoever repeats it. Empty where an older release registered it."""

    code_version: str = ""
    seed: int | None = None
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """The settings in JSON, and what the run made of them, as in the manifest."""
    first_event_time: datetime | None = None
    """Of the events that were learned from or measured on."""
    last_event_time: datetime | None = None
    cost: Mapping[str, StageCost] = field(default_factory=dict)
    """By stage, in order: read, fit, evaluate, export, plan, publish."""

    @property
    def total_cost(self) -> StageCost:
        return sum(self.cost.values(), StageCost(0.0, 0.0))


@dataclass(frozen=True, slots=True)
class Pin:
    """An operator's word that a version is to be kept, whatever its age."""

    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Model:
    """One registered version; its verdict, its pin, the end of its bundle and, by assignment, its state come later."""

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
    origin: str = ""
    """Whose work it is, such as `night-12/warm`; empty: nobody asked to find it again."""
    parent: ModelVersion | None = None
    """The version that its training started from; None: from nothing."""
    provenance: Provenance = field(default_factory=Provenance)
    pin: Pin | None = None
    deleted_time: datetime | None = None
    """When clean-up deleted its bundle, so that it can never serve again; None: it is there."""

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
