"""The run over its ports: what is measured is published and registered, and a failure publishes nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.domain.bundles import MANIFEST, Manifest, read_manifest, sha256_of
from services.domain.errors import BundleBroken, NotEnoughData, TrainingFailed, UnknownVersion
from services.domain.history_input import HistoryRows
from services.domain.ids import ItemId, UserId
from services.domain.items import Item
from services.domain.plans import PlanTable
from services.domain.streams import LogBatch
from services.domain.users import Erasure
from services.inference.serving_model import load_serving_model
from services.training.job import new_version
from services.training.kinds.popularity import Popularity
from services.training.model import FitEnd, TrainableModel
from services.training.plans.measuring import Wanted
from services.training.report.report import REPORT
from tests.fakes.clock import START
from tests.fakes.event_log import FakeEventLog
from tests.fakes.planted import GAP_US, START_US, planted_events
from tests.unit.training.job_bench import Run, again, facts_of

MUST_REPORT = {
    "ndcg_at_10", "recall_at_20", "hr_at_10", "coverage_at_10", "popularity_ndcg_at_10", "popularity_recall_at_20",
    "ndcg_gain_at_10", "ndcg_gain_at_10_low", "ndcg_gain_at_10_high", "num_holdout_events", "num_holdout_users",
    "fit_s", "num_bad_vectors",
}  # fmt: skip


def test_a_run_registers_the_bundle_it_published(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    run = Run(tmp_path, quick)
    model = run.job.run()
    folder = run.bundles.fetch(model.location)
    assert run.registry.get(model.version) == model
    assert model.digest == sha256_of(folder / MANIFEST)
    assert (model.kind, model.data_version, model.created_time) == ("sequence", 0, START)


def test_the_manifest_says_all_that_is_needed_to_repeat_the_run(
    tmp_path: Path, quick: Callable[[], TrainableModel]
) -> None:
    run = Run(tmp_path, quick)
    model = run.job.run(until_us=START_US + 1_000 * GAP_US)
    manifest = Manifest.from_json((run.bundles.fetch(model.location) / MANIFEST).read_text(encoding="utf-8"))
    assert (manifest.code_version, manifest.seed, manifest.data_version) == ("0.1.0+abc", 5, 0)
    assert manifest.configuration["dim"] == 16
    assert manifest.configuration["until_us"] == START_US + 1_000 * GAP_US
    assert manifest.configuration["fit_end"] == "completed"
    assert manifest.metrics == model.metrics


def test_the_registry_keeps_how_a_version_came_about(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    run = Run(tmp_path, quick)
    model = replace(run.job, origin="night-12/warm").run()
    manifest = read_manifest(run.bundles.fetch(model.location))
    told, events = model.provenance, planted_events(60, 20)
    assert (model.origin, model.parent) == (manifest.configuration["origin"], None) == ("night-12/warm", None)
    assert (told.code_version, told.seed) == ("0.1.0+abc", 5)
    assert told.configuration == manifest.configuration
    times = [told.first_event_time, told.last_event_time]
    assert [each and each.timestamp() * 1e6 for each in times] == [events[0].event_time_us, events[-1].event_time_us]
    assert list(told.cost) == ["read", "fit", "evaluate", "export", "plan", "publish"]
    assert all(each.wall_s >= 0 and each.cpu_s >= 0 for each in told.cost.values())
    assert told.cost["fit"].wall_s >= model.metrics["fit_s"] > 0
    assert told.total_cost.cpu_s > 0
    second = again(run)
    assert second.job.run().parent == model.version


@pytest.mark.parametrize("kind", ["sequence", "popularity"])
def test_serving_can_load_what_was_published(tmp_path: Path, quick: Callable[[], TrainableModel], kind: str) -> None:
    run = Run(tmp_path, quick if kind == "sequence" else Popularity)
    serving = load_serving_model(run.bundles.fetch(run.job.run().location))
    assert serving.manifest.kind == kind
    knows = serving.scorer.knows(HistoryRows(*(np.array([1]) for _ in range(3))))
    assert knows == (kind != "popularity")


def test_every_figure_the_gate_and_the_demo_read_is_there(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    metrics = Run(tmp_path, quick).job.run().metrics
    assert metrics.keys() >= MUST_REPORT
    assert all(isinstance(figure, float) for figure in metrics.values())
    assert metrics["ndcg_gain_at_10"] == pytest.approx(metrics["ndcg_at_10"] - metrics["popularity_ndcg_at_10"])
    assert metrics["ndcg_gain_at_10_low"] <= metrics["ndcg_gain_at_10"] <= metrics["ndcg_gain_at_10_high"]
    assert metrics["num_holdout_events"] == 120
    assert metrics["num_holdout_users"] == 60


def test_a_report_for_people_lies_beside_the_bundle(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    """In one page, with titles where the catalog has them, and nobody's id (law 7)."""
    run = Run(tmp_path, quick)
    run.items.upsert([Item(ItemId(f"item-3-{number}"), f"The title {number}") for number in range(6)])
    model = run.job.run()
    page = (run.bundles.fetch(model.location) / REPORT).read_text(encoding="utf-8")
    assert model.version in page
    assert "The title" in page
    assert "user-" not in page


class Reading:
    """A sentence encoder that remembers what it read."""

    name = "lengths"

    def __init__(self) -> None:
        self.read: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.read += texts
        return np.array([[1.0, len(text)] for text in texts], np.float32)


def test_titles_and_descriptions_are_read_where_there_is_an_encoder_and_a_kind_that_knows_content(
    tmp_path: Path, quick: Callable[[], TrainableModel]
) -> None:
    for kind, expected in ((quick, ["A title", "Of a new one\nSaid at length"]), (Popularity, [])):
        folder, encoder = tmp_path / str(len(expected)), Reading()
        folder.mkdir()
        run = Run(folder, kind)
        run.items.upsert([Item(ItemId("item-3-1"), "A title"), Item(ItemId("item-3-2"))])
        run.items.upsert([Item(ItemId("new"), " Of a new one", description="Said at length")])
        model = replace(run.job, text_encoder=encoder).run()
        manifest = read_manifest(run.bundles.fetch(model.location))
        assert sorted(encoder.read) == expected
        assert manifest.configuration["text_encoder"] == ("lengths" if expected else "")
        load_serving_model(run.bundles.fetch(model.location))


def test_popularity_gains_nothing_over_itself(tmp_path: Path) -> None:
    metrics = Run(tmp_path, Popularity).job.run().metrics
    assert metrics["ndcg_at_10"] == metrics["popularity_ndcg_at_10"] > 0
    assert metrics["ndcg_gain_at_10_low"] == metrics["ndcg_gain_at_10_high"] == 0
    assert metrics["num_bad_vectors"] == 0


def test_it_tells_every_stage_and_epoch_in_order(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    run = Run(tmp_path, quick)
    run.job.run()
    told = [line.get("name", line.get("epoch")) for line in run.said]
    assert told == ["read", "fit", 1, 2, "evaluate", "export", "plan", "publish"]


def test_what_an_erased_user_did_is_not_learned_from(tmp_path: Path) -> None:
    """Law 7: the wish is open, the log still holds what they did, and the run trains as if it did not."""
    events, user = planted_events(60, 20), UserId("user-7")
    erased, without = (
        Run(tmp_path, Popularity),
        Run(tmp_path, Popularity, FakeEventLog([each for each in events if each.user_id != user])),
    )
    erased.erasures.request_erasures([Erasure(user, events[-1].event_time_us)])
    figures = [{**run.job.run().metrics, "fit_s": 0.0} for run in (erased, without)]
    assert figures[0] == figures[1]


def test_events_after_the_as_of_time_change_nothing(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    """The same moment, with and without a later half of the log, gives the same figures."""
    events = planted_events(60, 20)
    until_us = START_US + 600 * GAP_US
    short, long = FakeEventLog([each for each in events if each.event_time_us < until_us]), FakeEventLog(events)
    figures = [Run(tmp_path, quick, log).job.run(until_us).metrics for log in (short, long)]
    assert {**figures[0], "fit_s": 0.0} == {**figures[1], "fit_s": 0.0}


def test_a_pinned_version_of_the_log_is_what_is_trained_on(tmp_path: Path) -> None:
    """Whatever was stored since, and a version that there is not is said."""
    log = FakeEventLog(planted_events(60, 20))
    before = Run(tmp_path, Popularity, log).job.run()
    log.append(LogBatch(planted_events(60, 25)[1_200:]))
    pinned = replace(Run(tmp_path, Popularity, log).job, data_version=0).run()
    newest = Run(tmp_path, Popularity, log).job.run()
    assert (pinned.data_version, newest.data_version) == (0, 1)
    assert {**pinned.metrics, "fit_s": 0.0} == {**before.metrics, "fit_s": 0.0}
    assert {**newest.metrics, "fit_s": 0.0} != {**before.metrics, "fit_s": 0.0}
    with pytest.raises(UnknownVersion):
        replace(Run(tmp_path, Popularity, log).job, data_version=7).run()


class Broken(Popularity):
    def fit(self, dataset: Any, on_epoch: Any) -> FitEnd:
        raise TrainingFailed("The loss became nan in epoch 1; lower NIGHTJAR_TRAIN__LEARNING_RATE and train again.")


@pytest.mark.parametrize(
    ("model", "log", "error"),
    [(Broken, None, TrainingFailed), (Popularity, FakeEventLog(), NotEnoughData)],
    ids=["training fails", "empty log"],
)
def test_a_failed_run_publishes_and_registers_nothing(
    tmp_path: Path, model: Callable[[], TrainableModel], log: FakeEventLog | None, error: type[Exception]
) -> None:
    run = Run(tmp_path, model, log)
    with pytest.raises(error):
        run.job.run()
    assert run.registry.newest(10) == []
    with pytest.raises(BundleBroken):
        run.bundles.fetch("anything")


def test_versions_sort_by_time_and_differ_within_a_millisecond() -> None:
    moment = datetime.fromisoformat("2026-11-23T15:45:00.123+00:00")
    versions = [new_version(moment + timedelta(milliseconds=step)) for step in range(50)]
    assert versions == sorted(versions)
    assert versions[0].startswith("20261123T154500.123Z-")
    assert len({new_version(moment) for _ in range(20)}) > 1


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_when_it_is_started_again(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    """Killed after its first epoch of two: the second run fits the second epoch alone, and leaves no checkpoint."""
    checkpoint, events = tmp_path / "run" / "training.safetensors", FakeEventLog(planted_events(60, 20))

    def die(line: Mapping[str, Any]) -> None:
        if line["event"] == "epoch":
            raise Killed

    killed, again = (Run(tmp_path, quick, events) for _ in range(2))
    with pytest.raises(Killed):
        replace(killed.job, checkpoint=checkpoint, report=die).run()
    assert checkpoint.is_file()
    model = replace(again.job, checkpoint=checkpoint).run()
    assert [line["epoch"] for line in again.said if line["event"] == "epoch"] == [2]
    assert not checkpoint.exists()
    whole = Run(tmp_path, quick, events).job.run()
    assert {**model.metrics, "fit_s": 0.0} == {**whole.metrics, "fit_s": 0.0}


def test_a_run_on_other_data_does_not_go_on_from_it(tmp_path: Path, quick: Callable[[], TrainableModel]) -> None:
    checkpoint = tmp_path / "training.safetensors"

    def die(line: Mapping[str, Any]) -> None:
        if line["event"] == "epoch":
            raise Killed

    killed = Run(tmp_path, quick)
    with pytest.raises(Killed):
        replace(killed.job, checkpoint=checkpoint, report=die).run()
    other = Run(tmp_path, quick, FakeEventLog(planted_events(60, 20, seed=8)))
    replace(other.job, checkpoint=checkpoint).run()
    assert [line["epoch"] for line in other.said if line["event"] == "epoch"] == [1, 2]


@pytest.mark.parametrize("plan", ["float32", "int8"])
def test_the_figures_are_those_of_the_plan_that_is_published(
    tmp_path: Path, quick: Callable[[], TrainableModel], plan: Wanted
) -> None:
    """And the whole table is in manifest and registry."""
    run = Run(tmp_path, quick)
    run.job = replace(run.job, recipe=replace(run.job.recipe, plan=plan))
    model = run.job.run()
    table = PlanTable.from_document(facts_of(run, model)["plans"])
    assert PlanTable.from_document(model.provenance.configuration["plans"]) == table
    assert table.chosen.precision.value == plan
    row = table.row(table.chosen)
    assert row is not None
    assert row.figures is not None
    assert model.metrics["ndcg_at_10"] == pytest.approx(row.figures.ndcg_at_10)
