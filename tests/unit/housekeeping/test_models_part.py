"""The part of housekeeping that is about models: it is asked, told of, and in nobody's way."""

from collections.abc import Callable
from pathlib import Path

from services.adapters.delta_log.housekeeping import DeltaLogKeeper
from services.domain.errors import BundleStoreDown
from services.domain.ids import ModelVersion
from services.domain.model_keeping import ModelsCleaned
from services.domain.runs import RunState
from services.housekeeping.upkeep import Housekeeping, Rules
from tests.fakes.clock import FakeClock
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.run_book import FakeRunBook
from tests.fakes.user_directory import FakeUserDirectory


class Models:
    """A clean-up of models that finds one to delete, or whose store is away."""

    def __init__(self, error: BundleStoreDown | None = None) -> None:
        self.error, self.asked = error, list[bool]()

    def clean(self, keep_going: Callable[[], bool], *, dry_run: bool) -> ModelsCleaned:
        self.asked.append(dry_run)
        assert keep_going()
        if self.error is not None:
            raise self.error
        return ModelsCleaned(deleted=(ModelVersion("old"),))


def kept_by(folder: Path, models: Models, *, is_stopping: bool = False) -> Housekeeping:
    """A housekeeping of a log without events."""
    clock = FakeClock()
    keeper = DeltaLogKeeper(folder / "log", target_file_bytes=1_000_000, min_small_files=2)
    return Housekeeping(
        keeper, FakeModelRegistry(clock), FakeUserDirectory(), None, FakeRunBook(clock), clock,
        Rules(None, 24, 2, 7), lambda: is_stopping, models,
    )  # fmt: skip


def test_models_are_cleaned_up_with_the_log(tmp_path: Path) -> None:
    models = Models()
    house = kept_by(tmp_path, models)
    assert "bundles of 1 models deleted" in house.look().sentence
    run = house.run("schedule")
    assert run is not None
    assert "bundles of 1 models deleted" in run.detail
    assert models.asked == [True, False]


def test_a_bundle_store_that_is_away_fails_nothing_else(tmp_path: Path) -> None:
    """Erasure and the log do not wait for it, and the record says what was not done."""
    run = kept_by(tmp_path, Models(BundleStoreDown("The bundles cannot be reached."))).run("schedule")
    assert run is not None
    assert run.state is RunState.SUCCEEDED
    assert "models were not cleaned up: The bundles cannot be reached." in run.detail


def test_one_that_is_told_to_end_deletes_no_model(tmp_path: Path) -> None:
    models = Models()
    run = kept_by(tmp_path, models, is_stopping=True).run("schedule")
    assert run is not None
    assert (run.state, models.asked) == (RunState.FAILED, [])
