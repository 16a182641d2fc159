"""Which columns of a file become which fields of an event, in the operator's words."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from services.domain.errors import InvalidRequest

TEXT_FIELDS: Final = ("event_id", "user_id", "item_id", "type", "session_id", "request_id", "surface")
FIELDS: Final = (*TEXT_FIELDS, "event_time", "value", "position", "attributes")
REQUIRED: Final = ("user_id", "item_id", "type", "event_time")
ATTRIBUTE_PREFIX: Final = "attributes."


class TimeUnit(StrEnum):
    """What a time that is no timestamp in the file is: text in ISO 8601, or a number since 1970 in this unit."""

    ISO = "iso"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"

    @property
    def microseconds(self) -> int:
        """Of one unit; ISO has none."""
        return {TimeUnit.SECONDS: 1_000_000, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1}[self]


@dataclass(frozen=True, slots=True)
class Columns:
    """The column each field is read from, the constants, and the time's unit. Keys are FIELDS or `attributes.NAME`."""

    sources: Mapping[str, str]
    constants: Mapping[str, str] = field(default_factory=dict)
    time_unit: TimeUnit | None = None

    @classmethod
    def of_file(
        cls,
        present: Iterable[str],
        mapped: Mapping[str, str],
        constants: Mapping[str, str],
        time_unit: TimeUnit | None = None,
    ) -> Self:
        """What was asked for, and by their own names the columns that nobody mentioned.

        Raises InvalidRequest for a field or column that does not exist, and for a required field that has no source.
        """
        there = frozenset(present)
        for option, given in (("--map", mapped), ("--set", constants)):
            for name in given:
                _check_field(option, name)
        for name, column in mapped.items():
            if column not in there:
                raise InvalidRequest(
                    "--map", f"{name}={column}: the file has no column {column!r}, only {_list(there)}"
                )
        twice = set(mapped) & set(constants)
        if twice:
            raise InvalidRequest("--set", f"{_list(twice)} is mapped as well; choose one")
        named = {name: name for name in FIELDS if name in there and name not in constants}
        if any(name.startswith(ATTRIBUTE_PREFIX) for name in (*mapped, *constants)):
            if "attributes" in mapped:
                raise InvalidRequest("--map", "attributes as a whole cannot stand beside attributes.NAME")
            named.pop("attributes", None)
        sources = named | dict(mapped)
        for name in REQUIRED:
            if name not in sources and name not in constants:
                raise InvalidRequest(
                    "--map", f"{name} has no column; write --map {name}=COLUMN, the file has {_list(there)}"
                )
        return cls(sources, dict(constants), time_unit)

    @property
    def columns(self) -> list[str]:
        """The columns of the file that are read, each once."""
        return sorted(set(self.sources.values()))

    def canonical(self) -> str:
        """The same text for the same mapping, whatever order it was given in."""
        unit = None if self.time_unit is None else self.time_unit.value
        return json.dumps([sorted(self.sources.items()), sorted(self.constants.items()), unit], ensure_ascii=False)


def _check_field(option: str, name: str) -> None:
    if name in FIELDS and not (option == "--set" and name == "attributes"):
        return
    if name.startswith(ATTRIBUTE_PREFIX) and len(name) > len(ATTRIBUTE_PREFIX):
        return
    raise InvalidRequest(option, f"{name!r} is no field of an event; the fields are {_list(FIELDS)}, attributes.NAME")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
