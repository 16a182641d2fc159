"""Training settings for somebody who is watching: less than what a night has time for, unless they said otherwise."""

from collections.abc import Mapping
from typing import Any, Final

from services.settings import Settings

QUICK: Final[Mapping[str, Any]] = {"dim": 64, "max_epochs": 4, "incremental_epochs": 2}


def quick(settings: Settings) -> Settings:
    """The settings with QUICK where nobody set anything."""
    train = settings.train
    unset = {name: value for name, value in QUICK.items() if name not in train.model_fields_set}
    return settings.model_copy(update={"train": train.model_copy(update=unset)})
