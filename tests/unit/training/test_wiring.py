"""What stands between a training run and the systems it writes to."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.domain.errors import CatalogDown, InvalidRequest, InvalidSettings
from services.domain.models import Model
from services.patience import Patience
from services.registry.wiring import open_registry
from services.settings import TrainSettings, load
from services.training.asked import Asked
from services.training.configured import configured_model
from services.training.kinds.ease import Ease
from services.training.kinds.ials import Ials
from services.training.wiring import PatientRegistrar, build, registered_already
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


def test_challengers_keep_checkpoints_of_their_own(tmp_path: Path) -> None:
    """So that one that was killed goes on from its own, whatever another of the same night has left."""
    jobs = [build(load(home=tmp_path), lambda _: None, Asked(challenger=name)) for name in ("", "warm", "ease")]
    files = [job.checkpoint for job in jobs]
    assert [file.name for file in files if file] == [
        "training.safetensors", "challenger-warm.safetensors", "challenger-ease.safetensors",
    ]  # fmt: skip


def test_a_data_version_that_cannot_be_and_a_long_origin_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="--data-version"):
        Asked(data_version=-1)
    with pytest.raises(InvalidRequest, match="--origin"):
        Asked(origin="n" * 201)
    with pytest.raises(InvalidRequest, match="--origin"):
        Asked(origin="night\n12")


def test_what_is_registered_with_an_origin_is_found_and_not_asked_of_other_data(tmp_path: Path) -> None:
    settings, known = load(home=tmp_path), replace(model("tonight"), origin="night-12/warm")
    open_registry(settings).register(known)
    for asked in (Asked(origin="night-12/warm"), Asked(origin="night-12/warm", data_version=7)):
        assert registered_already(settings, asked) == known
    for asked in (Asked(), Asked(data_version=7), Asked(origin="night-12")):
        assert registered_already(settings, asked) is None
    with pytest.raises(InvalidRequest, match="trained on version 7 of the log"):
        registered_already(settings, Asked(origin="night-12/warm", data_version=8))
