"""The table of what is searched: every setting exists, bounds are what a kind takes, and the present is within them."""

import dataclasses

import pytest

from services.cli.model_kinds import KINDS
from services.domain.errors import InvalidSettings
from services.settings import TrainSettings
from services.training.configured import configured_model
from services.training.kinds.ease import Ease
from services.training.kinds.interaction_matrix import HALF_LIFE_DAYS
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import TrainableModel
from services.training.tuning.present import fixed_settings, model_of, present_settings
from services.training.tuning.space import SPACES, Between, OneOf, Value, around


def train_of(kind: str) -> TrainSettings:
    return TrainSettings.model_validate({"kind": kind})


def made(kind: str, **changes: Value) -> TrainableModel:
    return model_of(train_of(kind), {**present_settings(train_of(kind)), **changes}, configured_model)


def ends_of(bounds: Between | OneOf) -> list[Value]:
    if isinstance(bounds, OneOf):
        return list(bounds.values)
    return [int(each) if bounds.whole else each for each in (bounds.low, bounds.high)]


def test_every_kind_but_popularity_has_something_to_search() -> None:
    assert set(KINDS) - set(SPACES) == {"popularity"}


@pytest.mark.parametrize("kind", SPACES)
def test_every_value_of_the_table_makes_a_model_of_the_kind(kind: str) -> None:
    assert made(kind).kind == kind
    for name, bounds in SPACES[kind].items():
        for value in ends_of(bounds):
            model = made(kind, **{name: value})
            assert getattr(model.options, name) == value  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", SPACES)
def test_the_present_settings_are_within_the_bounds_as_they_come(kind: str) -> None:
    present = present_settings(train_of(kind))
    said = {name: value for name, value in present.items() if value is not None}  # what is unset follows from the data
    assert [name for name, value in said.items() if not SPACES[kind][name].holds(value)] == []


def test_options_are_the_present_settings_of_the_other_kinds() -> None:
    """What is searched may change within a study, what is not may not; both reach the model."""
    train = TrainSettings(kind="ease", options={"l2": 300.0, "num_neighbours": 50})
    assert present_settings(train) == {"l2": 300.0, "half_life_days": HALF_LIFE_DAYS}
    assert fixed_settings(train)["options"] == {"num_neighbours": 50}
    model = model_of(train, {"l2": 7.0, "half_life_days": None}, configured_model)
    assert isinstance(model, Ease)
    assert (model.options.l2, model.options.half_life_days, model.options.num_neighbours) == (7.0, None, 50)


def test_bounds_make_room_for_what_is_set() -> None:
    space = around(
        {"rate": Between(1e-4, 1e-2, log=True), "dim": OneOf((32, 64)), "days": OneOf((3.0, None))},
        {"rate": 0.05, "dim": 48, "days": 9.0},
    )
    assert space == {"rate": Between(1e-4, 0.05, log=True), "dim": OneOf((32, 48, 64)), "days": OneOf((3.0, 9.0, None))}


@pytest.mark.parametrize("value", [0.0, None])
def test_what_a_scale_cannot_hold_leaves_it_as_it_is(value: float | None) -> None:
    decay = Between(1e-4, 0.3, log=True)
    assert decay.widened(value) == decay
    assert not decay.holds(value)


def test_heads_that_do_not_divide_the_dimension_are_no_settings() -> None:
    with pytest.raises(InvalidSettings, match="num_heads"):
        made("sequence", dim=36, num_heads=4)


def test_a_study_is_of_everything_that_counts_and_is_not_searched() -> None:
    names = fixed_settings(train_of("sequence")).keys()
    assert names | SPACES["sequence"].keys() >= {each.name for each in dataclasses.fields(EncoderOptions)} - {
        "seed", "incremental_epochs",
    }  # fmt: skip
    assert not names & SPACES["sequence"].keys()
    assert fixed_settings(train_of("ease")).keys() == {
        "options", "max_history", "holdout_fraction", "validation_fraction", "min_item_events",
    }  # fmt: skip
    assert fixed_settings(TrainSettings(dim=64)) == fixed_settings(TrainSettings(dim=32, seed=7))
