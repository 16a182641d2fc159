"""Metrics and verdicts as JSON. NaN and infinities, which JSON has no word for, are kept as strings."""

import math
from collections.abc import Mapping
from typing import Any

from services.domain.models import Finding, Verdict


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


def _number(value: float) -> float | str:
    number = float(value)
    return number if math.isfinite(number) else repr(number)
