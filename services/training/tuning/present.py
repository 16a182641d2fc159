"""What the settings are now, what of them a search leaves as it is, and the model of other ones."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from pydantic import ValidationError

from services.domain.errors import InvalidSettings
from services.domain.tuning import TunedSettings
from services.settings import TrainSettings
from services.training.kinds import factory
from services.training.kinds.ease import EaseOptions
from services.training.kinds.factory import SEEDED
from services.training.kinds.graph_filter import GraphFilterOptions
from services.training.kinds.ials import IalsOptions
from services.training.kinds.item_knn import ItemKnnOptions
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import TrainableModel
from services.training.tuning.space import SPACES

_DEFAULTS: Final[Mapping[str, Callable[[], Any]]] = {
    "ease": EaseOptions,
    "item_knn": ItemKnnOptions,
    "gf_cf": GraphFilterOptions,
    "ials": IalsOptions,
}
"""The kinds that the settings say nothing of: training takes their defaults."""
_ALL_KINDS: Final = ("max_history", "holdout_fraction", "validation_fraction", "min_item_events")
_NEVER_COUNTS: Final = frozenset({"seed", "incremental_epochs"})  # the study has a seed; a search trains from nothing


def present_settings(train: TrainSettings) -> TunedSettings:
    """What is searched of this kind, as it is now."""
    options = _DEFAULTS[train.kind]() if train.kind in _DEFAULTS else train
    return {name: getattr(options, name) for name in SPACES[train.kind]}


def fixed_settings(train: TrainSettings) -> dict[str, Any]:
    """What also decides how good a model is: a study is of one choice of it. As JSON has it."""
    more = () if train.kind in _DEFAULTS else (field.name for field in fields(EncoderOptions))
    names = sorted({*_ALL_KINDS, *more} - SPACES[train.kind].keys() - _NEVER_COUNTS)
    return {name: getattr(train, name) for name in names}


def model_of(
    train: TrainSettings, settings: TunedSettings, make_model: Callable[[TrainSettings], TrainableModel]
) -> TrainableModel:
    """A model of these settings, not fitted yet; raises InvalidSettings for some that do not go together.

    make_model: of a kind that the settings describe.
    """
    if train.kind in _DEFAULTS:
        seeded = {"seed": train.seed} if train.kind in SEEDED else {}
        return factory.make_model(train.kind, **settings, **seeded)
    try:
        return make_model(TrainSettings.model_validate({**train.model_dump(), **settings}))
    except ValidationError as error:
        raise InvalidSettings("; ".join(problem["msg"] for problem in error.errors())) from error
