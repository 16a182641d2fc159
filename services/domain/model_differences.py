"""Two versions beside one another, and one beside the defaults: which settings, data and figures differ. Pure."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.domain.models import Interval, Model

_LOW, _HIGH = "_low", "_high"
DATA: Final = ("until_us", "cut_us", "fit_end_us")
"""Fields of a manifest's configuration that say which events a version is of; the rest says how it was made."""


@dataclass(frozen=True, slots=True)
class Different:
    """Something that two versions say otherwise, by its dotted name; values are JSON, None where there is none."""

    name: str
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A metric by name, and its interval where one was measured."""

    name: str
    value: float
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class TwoFigures:
    """A metric of two versions; NaN for the one that lacks it."""

    name: str
    first: float
    second: float

    @property
    def is_of_the_run(self) -> bool:
        """Whether it says how long something took, which is no property of the model."""
        return self.name.endswith(("_s", "_ms"))

    def is_within(self, tolerance: float) -> bool:
        """Whether they differ by no more; a figure that one lacks, or that is NaN in one alone, never is."""
        return abs(self.difference) <= tolerance

    @property
    def difference(self) -> float:
        """Second minus first; 0 also where both are NaN, since nothing differs there."""
        if self.first == self.second or (math.isnan(self.first) and math.isnan(self.second)):
            return 0.0
        return self.second - self.first


@dataclass(frozen=True, slots=True)
class Differences:
    """Of two versions, in the order they were asked for."""

    settings: tuple[Different, ...]
    """How they were made: settings, seed, code, libraries, what they started from."""
    data: tuple[Different, ...]
    metrics: tuple[TwoFigures, ...]
    """All of them, also those that are equal, by name."""


def differences(first: Model, second: Model) -> Differences:
    made, data = (tuple(_apart(of(first), of(second))) for of in (_how_it_was_made, _what_it_was_made_of))
    names = sorted({*first.metrics, *second.metrics})
    metrics = (TwoFigures(name, *(each.metrics.get(name, math.nan) for each in (first, second))) for name in names)
    return Differences(made, data, tuple(metrics))


def unlike(configuration: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Different, ...]:
    """The settings of a configuration that are not the defaults, with the default second; both are sections of JSON.

    Only sections that both have are compared, and a setting that is no longer there has the default None.
    """
    sections = [name for name in defaults if name in configuration]
    ours, usual = ({name: each[name] for name in sections} for each in (configuration, defaults))
    return tuple(_apart(_flat(ours), _flat(usual)))


def figures_of(metrics: Mapping[str, float]) -> tuple[Figure, ...]:
    """By name; the ends of an interval are told with their figure."""
    ends = {f"{name}{end}" for name in metrics for end in (_LOW, _HIGH) if f"{name}{end}" in metrics}
    return tuple(Figure(name, metrics[name], _interval(metrics, name)) for name in sorted(metrics) if name not in ends)


def _interval(metrics: Mapping[str, float], name: str) -> Interval | None:
    low, high = metrics.get(name + _LOW), metrics.get(name + _HIGH)
    return None if low is None or high is None else Interval(low, high)


def _how_it_was_made(model: Model) -> Mapping[str, Any]:
    told = model.provenance
    configuration = {name: value for name, value in told.configuration.items() if name not in (*DATA, "plans")}
    plans: Mapping[str, Any] | None = told.configuration.get("plans")  # what was measured of them is another each night
    return {
        "kind": model.kind,
        "code_version": told.code_version,
        "seed": told.seed,
        "parent": model.parent,
        **({} if plans is None else _flat({"plan": plans["chosen"]})),
        **_flat(configuration),
    }


def _what_it_was_made_of(model: Model) -> Mapping[str, Any]:
    told = model.provenance
    first, last = told.first_event_time, told.last_event_time
    return {
        "data_version": model.data_version,
        "first_event_time": None if first is None else first.isoformat(),
        "last_event_time": None if last is None else last.isoformat(),
        **{name: told.configuration.get(name) for name in DATA},
    }


def _apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Different]:
    for name in dict.fromkeys((*first, *second)):
        one, other = first.get(name), second.get(name)
        if one != other:
            yield Different(name, one, other)


def _flat(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """With a dotted name for each field of a field; lists stay whole."""
    found: dict[str, Any] = {}
    for name, value in document.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return found
