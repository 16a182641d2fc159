"""Data that nothing can be learned from ends in an error that says what to do, and data that is odd in a whole bundle.

Through the run as a whole, for each kind: what is published passes the checks that serving makes, or there is nothing.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from services.domain.errors import NotEnoughData, TrainingFailed
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.items import Item
from services.domain.models import Model
from services.inference.serving_model import ServingModel, load_serving_model
from services.training.data.dataset import Dataset
from services.training.job import Recipe, TrainingJob
from services.training.kinds.factory import make_model
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.model import EpochReport, FitEnd, TrainableModel
from services.training.start import Starting
from tests.fakes.bundle_store import FakeBundleStore
from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.fakes.item_catalog import FakeItemCatalog
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.planted import START_US, planted_events
from tests.fakes.user_directory import FakeUserDirectory
from tests.unit.training.conftest import OPTIONS

KINDS: dict[str, Callable[[], TrainableModel]] = {
    "sequence": lambda: SequenceEncoder(replace(OPTIONS, max_epochs=1)),
    "ials": partial(make_model, "ials", dim=8),
    **{kind: partial(make_model, kind) for kind in ("ease", "item_knn", "gf_cf", "popularity")},
}
EVENT_TYPES = EventTypes(
    [EventType("view", Role.POSITIVE, positive_from=3.0, negative_to=2.0), EventType("dislike", Role.NEGATIVE)]
)
PLANTED = planted_events(20, 12)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[[], TrainableModel]:
    return KINDS[request.param]


class Twice(FakeItemCatalog):
    """A catalogue that says everything twice."""

    def each(self) -> Iterator[Item]:
        for item in super().each():
            yield from (item, item)


class Project:
    def __init__(self, folder: Path, model: Callable[[], TrainableModel], events: Sequence[Interaction]) -> None:
        self.bundles, self.registry, self.items = FakeBundleStore(folder), FakeModelRegistry(), FakeItemCatalog()
        self._model, self._events, self.said = model, events, list[Mapping[str, Any]]()

    def run(self, until_us: int | None = None, checkpoint: Path | None = None) -> Model:
        job = TrainingJob(
            events=FakeEventLog(self._events),
            items=self.items,
            erasures=FakeUserDirectory(),
            bundles=self.bundles,
            registry=self.registry,
            clock=FakeClock(),
            recipe=Recipe(
                model=self._model, event_types=EVENT_TYPES, max_history=12, holdout_fraction=0.2,
                validation_fraction=0.2, min_item_events=1, seed=5, code_version="0.1.0+abc", configuration={},
            ),
            report=self.said.append,
            starting=Starting(self.registry.newest, self.bundles, "full", timedelta(days=7)),
            checkpoint=checkpoint,
        )  # fmt: skip
        return job.run(until_us)

    def served(self, model: Model) -> ServingModel:
        """What serving makes of the bundle; raises BundleBroken when it would refuse it."""
        return load_serving_model(self.bundles.fetch(model.location))


def of_one_user(event: Interaction) -> Interaction:
    return event._replace(user_id=UserId("ann"))


def of_one_item(event: Interaction) -> Interaction:
    return event._replace(item_id=ItemId("only"))


def negative(event: Interaction) -> Interaction:
    return event._replace(event_type="dislike")


@pytest.mark.parametrize(
    ("change", "says"),
    [(of_one_user, "one user only"), (of_one_item, "fewer than two items"), (negative, "no positive events")],
)
def test_what_no_kind_can_learn_from_is_named_and_nothing_is_published(
    tmp_path: Path, kind: Callable[[], TrainableModel], change: Callable[[Interaction], Interaction], says: str
) -> None:
    project = Project(tmp_path, kind, [change(event) for event in PLANTED])
    with pytest.raises(NotEnoughData, match=says):
        project.run()
    assert project.registry.newest(10) == []


def test_an_empty_range_says_so(tmp_path: Path, kind: Callable[[], TrainableModel]) -> None:
    project = Project(tmp_path, kind, PLANTED)
    with pytest.raises(NotEnoughData, match="no events in this range; send some, or choose a later --as-of"):
        project.run(until_us=START_US)
    assert project.registry.newest(10) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_a_value_that_is_no_number_harms_no_model(
    tmp_path: Path, kind: Callable[[], TrainableModel], value: float
) -> None:
    """Ingest refuses such events; a log that others wrote may hold them. NaN is no value; the infinities are large."""
    events = [event._replace(value=value if number % 7 == 0 else None) for number, event in enumerate(PLANTED)]
    project = Project(tmp_path, kind, events)
    model = project.run()
    project.served(model)
    assert all(math.isfinite(figure) for figure in model.metrics.values())


def test_an_id_of_ten_kilobytes_is_an_id(tmp_path: Path, kind: Callable[[], TrainableModel]) -> None:
    long = "ü" * 5_000
    events = [
        event._replace(item_id=ItemId(f"{event.item_id}{long}"), user_id=UserId(f"{event.user_id}{long}"))
        for event in PLANTED
    ]
    project = Project(tmp_path, kind, events)
    served = project.served(project.run())
    assert all(item_id.endswith(long) for item_id in served.vocabulary.item_ids)


def test_a_catalogue_that_says_everything_twice_says_it_once(tmp_path: Path) -> None:
    once, twice = (Project(tmp_path, KINDS["sequence"], PLANTED) for _ in range(2))
    twice.items = Twice()
    for project in (once, twice):
        project.items.upsert(
            [Item(item_id, categories=(item_id[:6],)) for item_id in {each.item_id for each in PLANTED}]
        )
    metrics = [project.run().metrics for project in (once, twice)]
    assert {**metrics[0], "fit_s": 0.0} == {**metrics[1], "fit_s": 0.0}


class Diverging(SequenceEncoder):
    """After its second epoch its parameters are no numbers any more, as after a step that was much too large."""

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        def spoil(report: EpochReport) -> None:
            on_epoch(report)
            if report.epoch == 2:
                for parameter in self.network.parameters():
                    parameter.data.fill_(math.nan)

        return super().fit(dataset, spoil)


def test_a_loss_that_becomes_nan_ends_the_run_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    """Nothing is published, it is said what to do, and the checkpoint is good: a run goes on from it to a model."""
    options, checkpoint = replace(OPTIONS, max_epochs=4), tmp_path / "training.safetensors"
    diverging = Project(tmp_path / "bundles", lambda: Diverging(options), PLANTED)
    with pytest.raises(TrainingFailed, match=r"became nan in epoch 3; lower NIGHTJAR_TRAIN__LEARNING_RATE"):
        diverging.run(checkpoint=checkpoint)
    assert diverging.registry.newest(10) == []
    (tmp_path / "bundles").mkdir()
    good, whole = (Project(tmp_path / "bundles", lambda: SequenceEncoder(options), PLANTED) for _ in range(2))
    metrics = [project.run(checkpoint=path).metrics for project, path in ((good, checkpoint), (whole, None))]
    assert [line["epoch"] for line in good.said if line["event"] == "epoch"] == [3, 4]
    assert {**metrics[0], "fit_s": 0.0} == {**metrics[1], "fit_s": 0.0}
