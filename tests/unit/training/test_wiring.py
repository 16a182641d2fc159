"""What stands between a training run and the systems it writes to."""

from services.domain.errors import CatalogDown
from services.domain.models import Model
from services.patience import Patience
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
