"""Metrics, verdicts and provenance as JSON. NaN and infinities, which JSON has no word for, are kept as strings."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from services.domain.models import Finding, Provenance, StageCost, Verdict


def metrics_document(metrics: Mapping[str, float]) -> dict[str, Any]:
    return {name: _number(value) for name, value in metrics.items()}


def metrics_of(document: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in document.items()}


def verdict_document(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {
            "rule": finding.rule,
            "figure": _number(finding.figure),
            "threshold": _number(finding.threshold),
            "passed": finding.passed,
            "sentence": finding.sentence,
        }
        for finding in verdict.findings
    ]


def verdict_of(document: list[dict[str, Any]] | None) -> Verdict | None:
    if document is None:
        return None
    return Verdict(
        tuple(
            Finding(
                rule=entry["rule"],
                figure=float(entry["figure"]),
                threshold=float(entry["threshold"]),
                passed=bool(entry["passed"]),
                sentence=entry["sentence"],
            )
            for entry in document
        )
    )


def provenance_document(provenance: Provenance) -> dict[str, Any]:
    """In words of JSON throughout, so that what comes back equals it."""
    return {
        "code_version": provenance.code_version,
        "seed": provenance.seed,
        "configuration": dict(provenance.configuration),
        "first_event_time": _text(provenance.first_event_time),
        "last_event_time": _text(provenance.last_event_time),
        "cost": [{"stage": stage, **asdict(cost)} for stage, cost in provenance.cost.items()],
    }


def provenance_of(document: Mapping[str, Any]) -> Provenance:
    """Of an older row, too, which has less or nothing; what a later release added is passed over."""
    return Provenance(
        code_version=document.get("code_version", ""),
        seed=document.get("seed"),
        configuration=document.get("configuration", {}),
        first_event_time=_moment(document.get("first_event_time")),
        last_event_time=_moment(document.get("last_event_time")),
        cost={
            each["stage"]: StageCost(each["wall_s"], each["cpu_s"], each.get("gpu_s"), each.get("energy_j"))
            for each in document.get("cost", ())
        },
    )


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _number(value: float) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else repr(number)
