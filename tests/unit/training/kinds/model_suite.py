"""What every model kind promises, whatever it learns: a subclass says how one is made."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from services.domain.bundle_tables import TableSizes, check_tables
from services.domain.bundles import Scoring, scoring_of
from services.domain.errors import TrainingFailed
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import ItemId
from services.domain.interactions import Interaction
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.evaluation.holdout import measure
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import EpochReport, FitEnd, Floats, History, Resumable, TrainableModel, WarmStarting
from tests.fakes.event_log import columns_of
from tests.fakes.planted import planted_events
from tests.unit.training.kinds.small_data import DISLIKE, viewed

HISTORIES = [viewed(4), viewed(1, 2, 3, 4, 5), viewed(7, 9, 7), viewed(20, 41)]


class ModelSuite:
    """The planted data has ten clusters of six items; whoever is in one stays there nine times in ten."""

    def make(self, options: EncoderOptions) -> TrainableModel:
        """A new model of this kind that fits the planted data within seconds."""
        raise NotImplementedError

    @classmethod
    def fit(cls, options: EncoderOptions, dataset: Dataset) -> TrainableModel:
        model = cls().make(options)
        assert model.fit(dataset, lambda _: None) in FitEnd
        return model

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls, planted: Dataset, options: EncoderOptions) -> TrainableModel:
        return cls.fit(options, planted)

    def test_scores_are_numbers_in_the_announced_shape(self, planted: Dataset, model: TrainableModel) -> None:
        tables = {
            "scores": (model.score(HISTORIES), (len(HISTORIES), planted.num_items)),
            "users": (model.encode_users(HISTORIES), (len(HISTORIES), model.dim)),
            "items": (model.item_vectors(), (planted.num_items, model.dim)),
        }
        for name, (table, shape) in tables.items():
            assert table.shape == shape, name
            assert table.dtype == np.float32, name
            assert np.isfinite(table).all(), name

    def test_a_personal_kind_recovers_what_popularity_cannot_see(self, planted: Dataset, model: TrainableModel) -> None:
        figures = measure(model, planted, max_history=12, seed=1)
        assert figures["num_bad_vectors"] == 0
        if model.capabilities.personal:
            assert figures["hr_at_10"] > figures["popularity_hr_at_10"] + 0.3
            assert figures["ndcg_gain_at_10_low"] > 0.2

    def test_the_same_seed_gives_the_same_numbers(
        self, planted: Dataset, model: TrainableModel, options: EncoderOptions
    ) -> None:
        assert np.array_equal(self.fit(options, planted).score(HISTORIES), model.score(HISTORIES))

    def test_what_is_saved_scores_the_same_to_the_last_bit(
        self, tmp_path: Path, model: TrainableModel, options: EncoderOptions
    ) -> None:
        model.save(tmp_path)
        loaded = self.make(options)
        loaded.load(tmp_path)
        assert np.array_equal(loaded.score(HISTORIES), model.score(HISTORIES))
        assert np.array_equal(loaded.encode_users(HISTORIES), model.encode_users(HISTORIES))
        assert loaded.dim == model.dim

    def test_a_score_is_the_product_of_a_user_and_an_item_vector(self, model: TrainableModel) -> None:
        if model.dim:
            assert _alike(model.score(HISTORIES), model.encode_users(HISTORIES) @ model.item_vectors().T)

    def test_a_batch_scores_as_each_history_alone(self, model: TrainableModel) -> None:
        alone = np.concatenate([model.score([history]) for history in HISTORIES])
        assert _alike(model.score(HISTORIES), alone)

    def test_a_history_that_speaks_for_nothing_scores_numbers(self, model: TrainableModel) -> None:
        disliked = History(np.array([3]), np.array([DISLIKE]), np.array([0]))
        assert np.isfinite(model.score([disliked, viewed(1)])).all()

    def test_the_holdout_changes_nothing(
        self, planted: Dataset, model: TrainableModel, options: EncoderOptions
    ) -> None:
        """Every held-out event is of another item now; what was learned is the same."""
        cut_us = planted.bounds_us["cut_us"]
        item_ids = planted.vocabulary.item_ids
        events = planted_events()
        changed = [event for event in events if event.event_time_us < cut_us]
        for number, event in enumerate(events[len(changed) :]):
            item_id = item_ids[number % 3]
            changed.append(Interaction(event.event_id, event.user_id, item_id, "view", event.event_time_us))
        dataset = build_dataset(
            columns_of(changed), DEFAULT_EVENT_TYPES, holdout_fraction=0.1, validation_fraction=0.1, min_item_events=1
        )
        assert dataset.bounds_us == planted.bounds_us
        assert not np.array_equal(dataset.holdout.targets, planted.holdout.targets)
        assert np.array_equal(self.fit(options, dataset).score(HISTORIES), model.score(HISTORIES))

    def test_the_capabilities_tell_the_truth(
        self, planted: Dataset, model: TrainableModel, options: EncoderOptions
    ) -> None:
        can = model.capabilities
        one, other = model.score([viewed(1, 20), viewed(9, 33)])
        assert np.array_equal(one, other) != can.personal
        forth, back = model.score([viewed(1, 20), viewed(20, 1)])
        assert _alike(forth, back) != can.ordered
        if not can.validates:
            unseen = replace(planted, validation=planted.validation.thinned(1))
            assert np.array_equal(self.fit(options, unseen).score(HISTORIES), model.score(HISTORIES))
        if can.max_items is not None:
            with pytest.raises(TrainingFailed, match=f"{can.max_items:,}"):
                self.make(options).fit(_with_items(planted, can.max_items + 1), lambda _: None)

    def test_serving_takes_its_tables(self, planted: Dataset, model: TrainableModel) -> None:
        scoring = scoring_of(model.kind)
        sizes = TableSizes(planted.num_items, model.dim, len(planted.vocabulary.event_type_labels))
        check_tables({"popularity": planted.popularity, **model.serving_tables()}, scoring, sizes)
        assert (model.encoder_onnx() is not None) == (scoring is Scoring.ENCODED)

    def test_what_it_says_of_going_on_it_can_do(self, options: EncoderOptions) -> None:
        """Whoever asks by the protocol and whoever asks by the capability are told the same."""
        model = self.make(options)
        assert isinstance(model, WarmStarting) == model.capabilities.warm_start
        assert isinstance(model, Resumable) == model.capabilities.resumable

    def test_a_killed_run_goes_on_to_the_very_same_numbers(
        self, tmp_path: Path, planted: Dataset, model: TrainableModel, options: EncoderOptions
    ) -> None:
        """Nor is a run that had ended, and was killed while it published, fitted again."""
        self._kill(options, planted, tmp_path / "fit", after_epoch=2)
        epochs, again = self._go_on(options, planted, tmp_path / "fit")
        assert epochs[0] == 3
        assert [each.name for each in tmp_path.iterdir()] == ["fit"]
        nothing_left, ended = self._go_on(options, planted, tmp_path / "fit")
        assert nothing_left == []
        for resumed in (again, ended):
            assert np.array_equal(resumed.item_vectors(), model.item_vectors())
            assert np.array_equal(resumed.score(HISTORIES), model.score(HISTORIES))

    @pytest.mark.parametrize("spoiled", ["of another key", "cut short", "no checkpoint at all"])
    def test_a_checkpoint_that_is_not_its_own_is_ignored_and_the_log_says_so(
        self, tmp_path: Path, planted: Dataset, model: TrainableModel, options: EncoderOptions, spoiled: str
    ) -> None:
        file = tmp_path / "fit"
        self._kill(options, planted, file, after_epoch=1, key="yesterday" if spoiled == "of another key" else "tonight")
        if spoiled == "cut short":
            file.write_bytes(file.read_bytes()[:-8])
        if spoiled == "no checkpoint at all":
            file.write_text("{}")
        with capture_logs() as told:
            epochs, again = self._go_on(options, planted, file)
        assert [line["path"] for line in told if line["event"] == "checkpoint_ignored"] == [str(file)]
        assert epochs[0] == 1
        assert np.array_equal(again.item_vectors(), model.item_vectors())

    def _kill(
        self, options: EncoderOptions, dataset: Dataset, file: Path, after_epoch: int, key: str = "tonight"
    ) -> None:
        def die(report: EpochReport) -> None:
            if report.epoch == after_epoch:
                raise Killed

        with pytest.raises(Killed):
            self._resumable(options, file, key).fit(dataset, die)

    def _go_on(self, options: EncoderOptions, dataset: Dataset, file: Path) -> tuple[list[int], TrainableModel]:
        """The epochs that were left to do, and the model."""
        model, epochs = self._resumable(options, file, "tonight"), list[int]()
        model.fit(dataset, lambda report: epochs.append(report.epoch))
        return epochs, model

    def _resumable(self, options: EncoderOptions, file: Path, key: str) -> TrainableModel:
        model = self.make(options)
        if not model.capabilities.resumable:
            pytest.skip(f"{model.kind} says that it cannot go on")
        assert isinstance(model, Resumable)
        model.resume(file, key)
        return model


class Killed(Exception):
    """Ends a fit between two epochs."""


def _alike(one: Floats, other: Floats) -> bool:
    """But for rounding, which depends on what else is in a batch."""
    return float(np.abs(one - other).max()) <= 1e-4 * float(np.abs(one).max())


def _with_items(dataset: Dataset, num_items: int) -> Dataset:
    item_ids = tuple(ItemId(f"item-{number}") for number in range(num_items))
    return replace(dataset, vocabulary=replace(dataset.vocabulary, item_ids=item_ids))
