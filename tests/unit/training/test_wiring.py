"""What stands between a training run and the systems it writes to."""

import pytest

from services.domain.errors import CatalogDown, InvalidSettings
from services.domain.models import Model
from services.patience import Patience
from services.settings import TrainSettings
from services.training.configured import configured_model
from services.training.kinds.ease import Ease
from services.training.kinds.ials import Ials
from services.training.wiring import PatientRegistrar
from tests.fakes.clock import FakeClock
from tests.fakes.model_registry import FakeModelRegistry, model


class AwayAtFirst(FakeModelRegistry):
    """Stores the model, but its answer is lost the first time: the caller cannot know."""

    num_calls = 0

    def register(self, model: Model) -> None:
        self.num_calls += 1
        super().register(model)
        if self.num_calls < 4:
            raise CatalogDown("away")


def test_a_trained_model_is_registered_although_the_database_is_away_just_then() -> None:
    clock, registry = FakeClock(), AwayAtFirst()

    def pause(seconds: float) -> bool:
        clock.advance(seconds)
        return False

    PatientRegistrar(registry, Patience(clock, pause)).register(model("tonight"))
    assert registry.num_calls == 4
    assert registry.get(model("tonight").version) == model("tonight")


def test_options_reach_the_kind_and_a_wrong_one_is_named() -> None:
    made = configured_model(TrainSettings(kind="ease", options={"l2": 300.0}))
    assert isinstance(made, Ease)
    assert made.options.l2 == 300.0
    with pytest.raises(InvalidSettings, match="l3"):
        configured_model(TrainSettings(kind="ease", options={"l3": 300.0}))
    with pytest.raises(InvalidSettings, match="other kinds"):
        configured_model(TrainSettings(options={"l2": 300.0}))


def test_the_runs_seed_is_that_of_a_kind_which_has_one() -> None:
    made = configured_model(TrainSettings(kind="ials", seed=7))
    assert isinstance(made, Ials)
    assert made.options.seed == 7
