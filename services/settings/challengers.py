"""A challenger as the settings name it: training settings of its own over those of the `train` section."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from services.settings.section import Section

S = TypeVar("S", bound=Section)


class ChallengerSettings(Section):
    """One model that a night trains. Every further field is one of the `train` section, and wins over it."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(min_length=1, max_length=40, pattern=r"^[a-z0-9-]+$")
    """Tells the challengers of a night apart; its checkpoint lies under it."""

    @property
    def changes(self) -> Mapping[str, Any]:
        return self.model_extra or {}

    def over(self, train: S) -> S:
        """The training settings of this challenger; raises ValidationError for an unknown field or a bad value.

        Another kind does not inherit the options, which are of the kind that the section names.
        """
        values = train.model_dump(exclude_unset=True)
        if self.changes.get("kind", values.get("kind")) != values.get("kind"):
            values.pop("options", None)
        return type(train).model_validate({**values, **self.changes})


NIGHTLY = ChallengerSettings(name="nightly")
"""The one of whoever names none: what the `train` section says."""


def named_apart(challengers: tuple[ChallengerSettings, ...]) -> tuple[ChallengerSettings, ...]:
    """The same; raises ValueError when two have one name."""
    names = [each.name for each in challengers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"challengers must have different names; {', '.join(twice)} stands there twice")
    return challengers


def problems(challengers: Iterable[ChallengerSettings], train: Section, fixed: Iterable[str]) -> list[str]:
    """What keeps challengers from being trained, a sentence each. fixed: the fields that none may change."""
    found = []
    for each in challengers:
        try:
            of_this = each.over(train)
        except ValidationError as error:
            found += [_sentence(each.name, problem["loc"], problem["msg"]) for problem in error.errors()]
            continue
        found += [
            _sentence(each.name, (name,), "is the same for all of a night, which are judged on the same events")
            for name in fixed
            if getattr(of_this, name) != getattr(train, name)
        ]
    return found


def _sentence(name: str, location: tuple[int | str, ...], message: str) -> str:
    field = ".".join(map(str, location)) or "together"
    return f"schedule.challengers: {name!r}: {field}: {message}"
