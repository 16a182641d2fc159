"""What the settings are now, what of them a search leaves as it is, and the model of other ones."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from pydantic import ValidationError

from services.domain.errors import InvalidSettings
from services.domain.tuning import TunedSettings
from services.settings import TrainSettings
from services.training.kinds.ease import EaseOptions
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
"""Of the kinds whose settings are `train.options`: what those do not name."""
_ALL_KINDS: Final = ("max_history", "holdout_fraction", "validation_fraction", "min_item_events")
_NEVER_COUNTS: Final = frozenset({"seed", "incremental_epochs"})  # the study has a seed; a search trains from nothing


def present_settings(train: TrainSettings) -> TunedSettings:
    """What is searched of this kind, as it is now."""
    if train.kind not in _DEFAULTS:
        return {name: getattr(train, name) for name in SPACES[train.kind]}
    defaults = _DEFAULTS[train.kind]()
    return {name: train.options.get(name, getattr(defaults, name)) for name in SPACES[train.kind]}


def fixed_settings(train: TrainSettings) -> dict[str, Any]:
    """What also decides how good a model is: a study is of one choice of it. As JSON has it."""
    searched = SPACES[train.kind].keys()
    if train.kind in _DEFAULTS:
        options = {name: value for name, value in train.options.items() if name not in searched}
        return {"options": options, **{name: getattr(train, name) for name in _ALL_KINDS}}
    names = {*_ALL_KINDS, *(field.name for field in fields(EncoderOptions))} - searched - _NEVER_COUNTS
    return {name: getattr(train, name) for name in sorted(names)}


def model_of(
    train: TrainSettings, settings: TunedSettings, make_model: Callable[[TrainSettings], TrainableModel]
) -> TrainableModel:
    """A model of these settings, not fitted yet; raises InvalidSettings for some that do not go together."""
    if train.kind in _DEFAULTS:
        return make_model(train.model_copy(update={"options": {**train.options, **settings}}))
    try:
        return make_model(TrainSettings.model_validate({**train.model_dump(), **settings}))
    except ValidationError as error:
        raise InvalidSettings("; ".join(problem["msg"] for problem in error.errors())) from error
