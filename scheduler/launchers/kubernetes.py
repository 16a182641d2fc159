"""Training as a Kubernetes Job: applied, followed to its end, and deleted when the night has no more use for it.

A Job's name follows from its night and challenger, so a scheduler that takes a night over finds the Job of the one that
died. It runs on without either. How it goes, it writes into the catalog database itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import structlog

from scheduler.chain import StepFailed, Work
from scheduler.children import MAX_DETAIL, Task, failure
from scheduler.launchers.job_manifest import in_yaml, job_manifest, job_name, origin_of
from scheduler.launchers.kubectl import ApiAway, Kubectl
from services.children.saying import parsed
from services.domain.errors import CatalogDown
from services.domain.ports import Clock, ModelRegistry
from services.domain.ports.training import TrainingRuns
from services.settings import Settings

FIRST_POLL_S: Final = 1.0  # larger: a Job that fails at once is seen late; smaller: load on the API server
LONGEST_POLL_S: Final = 15.0  # larger: a stop and an end are seen late; smaller: as above, for hours
AWAY_WITHIN: Final = timedelta(minutes=15)  # larger: a dead API server is said late; smaller: an upgrade fails nights

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KubernetesJobs:
    """Fulfils Children in a cluster. `pause` waits for so many seconds, or until the scheduler is asked to stop."""

    kubectl: Kubectl
    registry: ModelRegistry
    training_runs: TrainingRuns
    settings: Settings
    clock: Clock
    pause: Callable[[float], object]

    def run(self, task: Task, work: Work) -> Mapping[str, Any]:
        """As Children says; also raises MissingDependency. What it returns names the Job."""
        name = job_name(origin_of(task), work.run.start_time)
        manifest = in_yaml(job_manifest(task, name, work.timeout_s, self.settings))
        return _Following(self, name, origin_of(task), work).to_the_end(manifest)


class _Following:
    """One Job, from its making to its end."""

    def __init__(self, jobs: KubernetesJobs, name: str, origin: str, work: Work) -> None:
        self._jobs = jobs
        self._kubectl = jobs.kubectl
        self._name = name
        self._origin = origin
        self._work = work
        self._end_time = jobs.clock.now() + timedelta(seconds=work.timeout_s)
        self._poll_s = FIRST_POLL_S
        self._told: dict[str, Mapping[str, Any]] = {}

    def to_the_end(self, manifest: str) -> Mapping[str, Any]:
        job = self._without_leftover()
        if job is None:
            self._outlast(lambda: self._kubectl.apply(manifest))
        self._tell("job", {"name": self._name, "found": job is not None})
        while True:
            self._wait()
            job = self._look()
            if job is None:
                return self._gone()
            self._tell_progress(job)
            if _condition(job, "Complete") is not None:
                return self._ended_well()
            if (failed := _condition(job, "Failed")) is not None:
                raise self._failure(failed)

    def _look(self) -> Mapping[str, Any] | None:
        return self._outlast(lambda: self._kubectl.job(self._name))

    def _without_leftover(self) -> Mapping[str, Any] | None:
        """The Job of an earlier try that still runs; one that ended, or is being deleted, is waited out of the way."""
        while (job := self._look()) is not None and (_has_ended(job) or _is_going(job)):
            if not _is_going(job):
                self._outlast(lambda: self._kubectl.delete(self._name))
            self._wait()
        self._poll_s = FIRST_POLL_S
        return job

    def _wait(self) -> None:
        """Until the next look. Raises StepFailed when there is none to be, the Job deleted, unless it is another's."""
        is_over = self._jobs.clock.now() >= self._end_time
        if is_over or not self._work.keep_going():
            if self._work.is_ours():  # else whoever took the night over follows this very Job
                self._delete()
            if is_over:
                sentence = f"It took longer than {self._work.timeout_s:g} s; the Job {self._name} was deleted."
                raise StepFailed(sentence, timed_out=True)
            raise StepFailed("It was ended because the scheduler stops, lost the night, or time was up.")
        self._jobs.pause(self._poll_s)
        self._poll_s = min(self._poll_s * 1.5, LONGEST_POLL_S)

    def _outlast(self, ask: Callable[[], T]) -> T:
        """Asks again while the API server is away. Raises StepFailed once it was for too long; the Job then stays."""
        give_up_time = self._jobs.clock.now() + AWAY_WITHIN
        while True:
            try:
                return ask()
            except ApiAway as error:
                self._tell("api_away", {"why": str(error)})
                if self._jobs.clock.now() >= give_up_time:
                    raise StepFailed(f"The Kubernetes API stayed away: {error}"[:MAX_DETAIL]) from error
            self._wait()

    def _delete(self) -> None:
        """What cannot be deleted now ends at its own deadline."""
        try:
            self._kubectl.delete(self._name)
        except (ApiAway, StepFailed) as error:
            log.warning("job_not_deleted", name=self._name, why=str(error))

    def _gone(self) -> Mapping[str, Any]:
        """A Job may be cleaned away between its last word and our look; the registry knows what came of it."""
        if self._work.patience.outlast(lambda: self._jobs.registry.by_origin(self._origin)) is None:
            raise StepFailed(f"The Job {self._name} is gone, and no model of it was registered: somebody deleted it.")
        return self._ended_well()

    def _ended_well(self) -> Mapping[str, Any]:
        return {"event": "done", "job": self._name}

    def _failure(self, failed: Mapping[str, Any]) -> StepFailed:
        """In the words of the training itself where its log can be had, else in the API server's."""
        if failed.get("reason") == "DeadlineExceeded":
            return StepFailed(f"The Job {self._name} took longer than its deadline.", timed_out=True)
        said = self._last_words()
        if said.get("event") == "failed":
            return failure(said)
        why = failed.get("message") or failed.get("reason") or "no reason was given"
        return StepFailed(f"The Job {self._name} failed: {why}"[:MAX_DETAIL])

    def _last_words(self) -> Mapping[str, Any]:
        """The last line of JSON in the pod's log, of which all is noted."""
        last: Mapping[str, Any] = {}
        try:
            lines = self._kubectl.log_lines(self._name)
        except ApiAway:
            return last
        for line in lines:
            said = parsed(line)
            self._work.note(said or {"log": line[:MAX_DETAIL]})
            last = said if said.get("event") in ("failed", "done") else last
        return last

    def _tell_progress(self, job: Mapping[str, Any]) -> None:
        status = job.get("status") or {}
        waits_or_runs = {"state": "running" if status.get("ready") else "pending"}
        if status.get("active") and self._tell("pod", waits_or_runs):
            self._poll_s = FIRST_POLL_S
        try:
            rows = self._jobs.training_runs.newest(5)
        except CatalogDown:
            return  # the next look may see it
        begun = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        # A night trains one challenger after the other, and there is one night.
        ours = (row for row in rows if row.trigger == "nightly" and row.start_time >= begun)
        if (row := next(ours, None)) is not None:
            figures = {"epoch": row.epoch, "max_epochs": row.max_epochs, "loss": row.loss}
            said = {"training_run": row.run_id, "state": row.state.value, "stage": row.stage, **figures}
            self._tell("progress", {**said, "valid_ndcg_at_10": row.valid_ndcg_at_10})

    def _tell(self, event: str, said: Mapping[str, Any]) -> bool:
        """Adds it to the step's log if it is news, and returns whether it is."""
        if self._told.get(event) == said:
            return False
        self._told[event] = said
        self._work.note({"event": event, **said})
        return True


def _has_ended(job: Mapping[str, Any]) -> bool:
    return any(_condition(job, name) is not None for name in ("Complete", "Failed"))


def _is_going(job: Mapping[str, Any]) -> bool:
    return job["metadata"].get("deletionTimestamp") is not None


def _condition(job: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if (each["type"], each["status"]) == (name, "True")), None)
