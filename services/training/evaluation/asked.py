"""What an evaluation is asked to do, put together from settings and a command line. Knows no model and no data."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from services.domain.errors import InvalidSettings
from services.settings import TrainSettings


@dataclass(frozen=True)
class Asked:
    """Raises InvalidSettings for a replay that is none."""

    folder: Path
    """Of the data set, as `adapters.evaluation_folder` reads it."""
    protocol: str
    """P1, P2 or P3."""
    train: TrainSettings
    """The model kind, its options and the seed."""
    replay_days: int = 0
    """How many of the last days are lived through again; 0: the protocol's table instead."""
    beside_full: bool = False
    """Whether a replay trains each night from nothing as well, to compare."""

    def __post_init__(self) -> None:
        if self.replay_days < 0 or (self.replay_days and self.protocol != "P3"):
            raise InvalidSettings("--replay takes a number of days, and --protocol P3 with it.")
        if self.beside_full and (not self.replay_days or self.mode == "full"):
            raise InvalidSettings("--beside-full compares with nights in full: add --replay and --set mode=auto.")

    @property
    def max_history(self) -> int | None:
        """None unless somebody set it: then the data says."""
        return self.train.max_history if "max_history" in self.train.model_fields_set else None

    @property
    def mode(self) -> str:
        """How a replayed night's model comes about; in full unless somebody set it, as the published tables' models."""
        return self.train.mode if "mode" in self.train.model_fields_set else "full"


def changed(train: TrainSettings, changes: Sequence[str]) -> TrainSettings:
    """The settings with `field=value` changes, dots between levels; what nobody set stays unset.

    Raises InvalidSettings for a change that is none, an unknown field, or a value out of bounds.
    """
    values = train.model_dump(exclude_unset=True)
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals or not path:
            raise InvalidSettings(f"--set {change} must be FIELD=VALUE, such as --set max_epochs=20.")
        *sections, name = path.split(".")
        within = values
        for section in sections:
            below = within.setdefault(section, {})
            if not isinstance(below, dict):
                raise InvalidSettings(f"--set {change}: {section} has no fields of its own.")
            within = below
        within[name] = _value(text)
    try:
        return TrainSettings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'together'}: {each['msg']}" for each in error.errors()
        )
        raise InvalidSettings(f"The training settings cannot be used: {problems}.") from error


def _value(text: str) -> Any:
    """As JSON where it is some, such as 0.2, null or [1, 2]; else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
