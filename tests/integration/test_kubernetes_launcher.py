"""A training as a Kubernetes Job: made once, followed through whatever the API server says, and never left behind."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from scheduler.chain import StepFailed, Work
from scheduler.facts import PIN, Facts
from scheduler.launchers.kubectl import Kubectl
from scheduler.launchers.kubernetes import AWAY_WITHIN, KubernetesJobs
from scheduler.steps.challengers import training_task
from services.domain.errors import MissingDependency
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.runs import Run, RunState
from services.domain.training_runs import TrainingRun, TrainingState
from services.patience import Patience
from services.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.training_runs import FakeTrainingRuns
from tests.integration.fake_kubectl import FakeKubectl

NIGHT_TIME = datetime(2026, 1, 31, 2, tzinfo=UTC)
FACTS = Facts(12, {PIN: {"data_version": 7}})
TIMEOUT_S = 3_600.0


@dataclass
class Cluster:
    """The launcher under test, a clock that its pauses advance, and the API server's part."""

    server: FakeKubectl
    clock: FakeClock
    registry: FakeModelRegistry
    runs: FakeTrainingRuns
    notes: list[Mapping[str, Any]]
    pauses_left: int = 1_000_000
    """The scheduler is asked to stop after so many, or loses the night."""
    is_ours: bool = True

    def run(self, timeout_s: float = TIMEOUT_S) -> Mapping[str, Any]:
        kubernetes = {"namespace": "ml", "image": "nightjar:1", "home_claim": "home"}
        settings = Settings.model_validate({"kubernetes": kubernetes})
        jobs = KubernetesJobs(Kubectl("ml"), self.registry, self.runs, settings, self.clock, self.pause)
        night = Run(12, "night", "schedule", NIGHT_TIME, RunState.RUNNING)
        patience = Patience(self.clock, lambda _: False)
        going, ours = lambda: self.pauses_left > 0, lambda: self.is_ours
        work = Work(night, FACTS, going, ours, self.notes.append, patience, timeout_s)
        return jobs.run(training_task(FACTS, "warm"), work)

    def pause(self, seconds: float) -> None:
        self.pauses_left -= 1
        self.clock.advance(seconds)

    def events(self, event: str) -> list[Mapping[str, Any]]:
        return [note for note in self.notes if note.get("event") == event]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{tmp_path / 'nothing'}")
    clock = FakeClock(NIGHT_TIME)
    return Cluster(FakeKubectl(tmp_path / "bin"), clock, FakeModelRegistry(clock), FakeTrainingRuns(), [])


def test_a_job_is_made_followed_and_its_progress_is_in_the_steps_log(cluster: Cluster) -> None:
    cluster.server.play("gone", "pending", "running", "running", "complete")
    row = TrainingRun("run-1", "sequence", "nightly", NIGHT_TIME, NIGHT_TIME, TrainingState.RUNNING, "fit", epoch=3)
    cluster.runs.record(row)
    cluster.runs.record(replace(row, run_id="other", trigger="manual", start_time=NIGHT_TIME.replace(hour=3)))
    said = cluster.run()
    assert cluster.server.asked == ["apply"]
    applied = yaml.safe_load(cluster.server.applied)
    assert said == {"event": "done", "job": applied["metadata"]["name"]}
    assert applied["spec"]["activeDeadlineSeconds"] == TIMEOUT_S
    assert [note["state"] for note in cluster.events("pod")] == ["pending", "running"]
    (progress,) = cluster.events("progress")
    assert (progress["training_run"], progress["stage"], progress["epoch"]) == ("run-1", "fit", 3)


def test_a_second_try_finds_the_job_of_the_first(cluster: Cluster) -> None:
    """As after the scheduler that made it died: nothing is made or deleted."""
    cluster.server.play("running", "running", "complete")
    cluster.run()
    assert cluster.server.asked == []
    assert cluster.events("job")[0]["found"] is True


@pytest.mark.parametrize("leftover", ["failed", "late", "complete"])
def test_a_job_of_an_earlier_try_that_ended_makes_room_first(cluster: Cluster, leftover: str) -> None:
    """One that is complete without a model in the registry did not do what it was for."""
    cluster.server.play(leftover, "going", "going", "gone", "running", "complete")
    cluster.run()
    assert cluster.server.asked == ["delete", "apply"]


@pytest.mark.parametrize(
    "problem",
    [
        'Error from server (AlreadyExists): jobs.batch "x" already exists',
        'The Job "x" is invalid: spec.template: Invalid value: field is immutable',
    ],
)
def test_a_job_that_somebody_made_a_moment_before_is_no_error(cluster: Cluster, problem: str) -> None:
    cluster.server.play("gone", "running", "complete", apply_problem=problem)
    assert cluster.run()["event"] == "done"


def test_a_training_that_failed_says_why_in_its_own_words(cluster: Cluster) -> None:
    failed = {"event": "failed", "reason": "NOT_ENOUGH_DATA", "message": "The log holds 3 events."}
    lines = ["a line of the runtime", {"event": "stage", "name": "read"}, failed, "the end"]
    cluster.server.play("gone", "running", "failed", pod_log=lines)
    with pytest.raises(StepFailed, match=r"The log holds 3 events\.") as raised:
        cluster.run()
    assert raised.value.retry is False
    assert cluster.server.asked == ["apply", "logs"]
    assert failed in cluster.notes
    assert {"log": "a line of the runtime"} in cluster.notes


def test_a_pod_that_died_without_a_word_is_tried_again(cluster: Cluster) -> None:
    cluster.server.play("gone", "running", "failed", pod_log=[{"event": "stage", "name": "fit"}])
    with pytest.raises(StepFailed, match="Job has reached the specified backoff limit") as raised:
        cluster.run()
    assert raised.value.retry is True


def test_a_job_past_its_own_deadline_timed_out(cluster: Cluster) -> None:
    cluster.server.play("gone", "running", "late")
    with pytest.raises(StepFailed) as raised:
        cluster.run()
    assert raised.value.timed_out is True


def test_a_job_that_is_gone_did_well_if_its_model_is_registered(cluster: Cluster) -> None:
    cluster.server.play("gone", "running", "gone")
    with pytest.raises(StepFailed, match="somebody deleted it"):
        cluster.run()
    figures = {"ndcg_at_10": 0.1}
    model = Model(ModelVersion("v1"), "ials", NIGHT_TIME, "v1", "digest", 7, figures, origin="night-12/warm")
    cluster.registry.register(model)
    assert cluster.run()["event"] == "done"


def test_an_api_server_that_is_away_for_a_while_costs_nothing(cluster: Cluster) -> None:
    cluster.server.play("away", "gone", "running", "away", "away", "running", "complete")
    assert cluster.run()["event"] == "done"
    assert cluster.server.asked == ["apply"]
    assert "was refused" in cluster.events("api_away")[0]["why"]


def test_an_api_server_that_stays_away_fails_the_try_and_leaves_the_job_to_the_next(cluster: Cluster) -> None:
    cluster.server.play("gone", "running", "away")
    with pytest.raises(StepFailed, match="stayed away") as raised:
        cluster.run()
    assert raised.value.retry is True
    assert cluster.server.asked == ["apply"]
    assert AWAY_WITHIN <= cluster.clock.now() - NIGHT_TIME < 2 * AWAY_WITHIN


def test_a_stop_deletes_the_job(cluster: Cluster) -> None:
    cluster.server.play("gone", "running")
    cluster.pauses_left = 3
    with pytest.raises(StepFailed) as raised:
        cluster.run()
    assert raised.value.timed_out is False
    assert cluster.server.asked == ["apply", "delete"]


def test_who_lost_the_night_leaves_the_job_to_who_took_it_over(cluster: Cluster) -> None:
    """It has the name that the other's would have, and the other follows it."""
    cluster.server.play("gone", "running")
    cluster.pauses_left, cluster.is_ours = 3, False
    with pytest.raises(StepFailed, match="lost the night"):
        cluster.run()
    assert cluster.server.asked == ["apply"]


def test_time_that_is_up_deletes_the_job(cluster: Cluster) -> None:
    cluster.server.play("gone", "running")
    with pytest.raises(StepFailed) as raised:
        cluster.run(timeout_s=20.0)
    assert raised.value.timed_out is True
    assert cluster.server.asked == ["apply", "delete"]


@pytest.mark.parametrize(
    "problem",
    [
        'Error from server (Forbidden): jobs "x"',
        "error validating data: unknown field",
        'Error from server (NotFound): error when creating "STDIN": namespaces "ml" not found',
    ],
)
def test_what_asking_again_does_not_mend_is_not_asked_again(cluster: Cluster, problem: str) -> None:
    cluster.server.play("gone", apply_problem=problem)
    with pytest.raises(StepFailed, match="Kubernetes refused") as raised:
        cluster.run()
    assert raised.value.retry is False
    assert cluster.server.asked == ["apply"]


def test_a_machine_without_kubectl_is_told_what_it_lacks(cluster: Cluster) -> None:
    with pytest.raises(MissingDependency, match="no kubectl on the PATH"):
        cluster.run()
