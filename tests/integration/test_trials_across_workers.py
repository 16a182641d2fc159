"""Canary and shadow in real workers: the right users, no mixed reply, nothing of a shadow, and no trace afterwards."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from services.domain.bundles import TABLES
from services.domain.clock import SystemClock
from services.domain.ids import ModelVersion, UserId
from services.domain.trials import ModelTrial, TrialKind
from services.registry.trial_status import TrialStatus, newest_trials
from services.registry.trials import end
from services.registry.wiring import open_trials
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_process import NUM_WORKERS, Serving, start, write_events
from tests.integration.test_two_phase_swap import Site, cut
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

CANARY, SHADOW = TrialKind.CANARY, TrialKind.SHADOW
VECTORS = {version: item_vectors(seed) for seed, version in enumerate(("v1", "v2"))}  # as Site publishes them
K = 3


def rows_of(user: str) -> tuple[int, int]:
    """The items that a user looked at; those of two users differ, mostly."""
    number = int(user.partition("@")[0])
    return number % 6 + 1, number // 6 % 6 + 1


def answer_of(version: str, user: str) -> list[str]:
    """The only right list of this version for this user, who consumed nothing."""
    vectors, rows = VECTORS[version], rows_of(user)
    scores = vectors @ vectors[[row - 1 for row in rows]].mean(axis=0)
    return [f"item-{position + 1}" for position in (-scores).argsort(kind="stable")[:K]]


# Only those that tell the versions apart: else no test here could see a mixed reply.
NUMBERS = [number for number in map(str, range(36)) if answer_of("v1", number) != answer_of("v2", number)]


class Stage:
    """One serving process of two workers with v1 live, and trials beside it."""

    def __init__(self, site: Site, redis_url: str) -> None:
        self.site, self.redis_url = site, redis_url
        self.trials = open_trials(site.settings)
        site_name = uuid4().hex  # the tests share a Redis
        self.users = [f"{number}@{site_name}" for number in NUMBERS]
        for user in self.users:
            write_events(redis_url, user, *(f"item-{row}" for row in rows_of(user)))

    def begin(self, kind: TrialKind, share: float) -> ModelTrial:
        """Of v2; by its row alone, as a worker sees it, whatever state the bundle is in."""
        made = self.trials.change(
            kind,
            ModelVersion("v2"),
            share=share,
            actor="test",
            reason="",
            expected_number=len(self.trials.changes(1_000)),
        )
        assert made is not None
        return made

    def all_hold(self, trial: ModelTrial) -> None:
        wait_until(lambda: self.status(trial).num_holding == NUM_WORKERS, timeout_s=60, what="all workers hold it")

    def status(self, trial: ModelTrial) -> TrialStatus:
        now = SystemClock().now()
        found = newest_trials(self.trials, self.site.rollout.fleet, now, 50)
        return next(each for each in found if each.trial.first == trial.first)

    def ask(self, user: str, serving: Serving | None = None) -> str:
        """The version that answers, on a connection of its own, so any of the workers; its list is checked."""
        reply = (serving or self.site.replicas[0]).recommend(user)
        assert [each.item_id for each in reply.items] == answer_of(reply.model_version, user)
        assert not reply.degraded
        return reply.model_version


@pytest.fixture
def stage(tmp_path: Path, redis_url: str) -> Iterator[Stage]:
    site = Site(tmp_path, redis_url, 1, 60.0)
    try:
        yield Stage(site, redis_url)
    finally:
        site.close()


def test_a_canarys_users_are_the_same_on_every_worker_and_after_restarts(stage: Stage) -> None:
    canary = stage.begin(CANARY, 0.4)
    stage.all_hold(canary)
    expected = {user: "v2" if canary.includes(UserId(user)) else "v1" for user in stage.users}
    assert set(expected.values()) == {"v1", "v2"}
    for _ in range(2):
        assert {user: stage.ask(user) for user in stage.users} == expected

    serving = stage.site.replicas[0]
    num_started = serving.num_started()
    serving.workers()[0].kill()
    wait_until(lambda: serving.num_started() > num_started, timeout_s=60, what="the killed worker is back")
    assert {user: stage.ask(user) for user in stage.users} == expected

    another = start(serving.home, stage.redis_url, replica="-another")
    try:
        assert {user: stage.ask(user, another) for user in stage.users} == expected
    finally:
        another.process.terminate()
        another.process.wait(timeout=30)


def test_a_canarys_broken_bundle_changes_nothing_and_is_named(stage: Stage) -> None:
    path = stage.site.settings.bundle_folder / "v2" / TABLES
    whole = path.read_bytes()
    path.chmod(0o644)
    cut(path)
    canary = stage.begin(CANARY, 1.0)
    wait_until(lambda: stage.site.num_said("trial_not_loaded") >= NUM_WORKERS, what="every worker has tried")
    assert {stage.ask(user) for user in stage.users} == {"v1"}
    wait_until(lambda: len(stage.status(canary).problems) > 0, what="a worker says why")
    (problem,) = stage.status(canary).problems
    assert problem.startswith("BundleBroken: ")
    assert TABLES in problem
    assert stage.status(canary).num_holding == 0
    path.write_bytes(whole)
    stage.all_hold(canary)
    assert {stage.ask(user) for user in stage.users} == {"v2"}


def test_a_canary_that_goes_live_is_loaded_once_and_is_a_canary_no_longer(stage: Stage) -> None:
    canary = stage.begin(CANARY, 0.5)
    stage.all_hold(canary)
    shutil.rmtree(stage.site.settings.bundle_folder / "v2")  # nobody can load it again
    stage.site.promote("v2")
    stage.site.all_serve("v2")
    assert list(stage.trials.current()) == []
    assert stage.trials.changes(1)[0].reason == "live since generation 2"
    wait_until(lambda: stage.site.num_said("trial_over") == NUM_WORKERS, what="every worker lets go of it")
    assert {stage.ask(user) for user in stage.users} == {"v2"}


class Callers(threading.Thread):
    """Calls for one user after another on a connection of its own until told to stop; notes replies and failures."""

    def __init__(self, serving: Serving, users: list[str], offset: int) -> None:
        super().__init__(daemon=True)
        self._serving, self._users, self._offset = serving, users, offset
        self.stopping = False
        self.replies: list[tuple[str, str, list[str], bool]] = []
        self.failures: list[grpc.RpcError] = []
        self.start()

    def run(self) -> None:
        with self._serving.channel() as channel:
            stub = RecommenderServiceStub(channel)
            while not self.stopping:
                user = self._users[(len(self.replies) + self._offset) % len(self._users)]
                try:
                    reply = stub.Recommend(wire.RecommendRequest(user_id=user, k=K), timeout=20)
                except grpc.RpcError as error:
                    self.failures.append(error)
                    return
                items = [each.item_id for each in reply.items]
                self.replies.append((user, reply.model_version, items, reply.degraded))


def called(callers: list[Callers]) -> int:
    return sum(len(each.replies) for each in callers)


def test_canaries_begin_and_end_under_load_with_no_failed_and_no_mixed_reply(stage: Stage) -> None:
    callers = [Callers(stage.site.replicas[0], stage.users, offset) for offset in range(3)]
    try:
        for _ in range(2):
            canary = stage.begin(CANARY, 0.5)
            stage.all_hold(canary)
            num_before = called(callers)
            wait_until(lambda before=num_before: called(callers) > before + 100, what="calls with a canary")  # type: ignore[misc]
            end(stage.trials, CANARY, "test")
            wait_until(lambda: stage.site.num_said("trial_over") % NUM_WORKERS == 0, what="every worker lets go of it")
    finally:
        for caller in callers:
            caller.stopping = True
        for caller in callers:
            caller.join(timeout=30)
    assert [each.failures for each in callers] == [[]] * len(callers)
    replies = [reply for caller in callers for reply in caller.replies]
    assert {version for _, version, _, _ in replies} == {"v1", "v2"}
    # An answer may be degraded where the catalog is slow to say what is hidden; nothing is, so it is the same.
    for user, version, items, _degraded in replies:
        assert items == answer_of(version, user), f"{user} got a list that {version} does not give"
    trials = [each for each in stage.trials.changes(10) if not each.is_over]
    drawn = {user for user, version, _, _ in replies if version == "v2"}
    assert all(any(each.includes(UserId(user)) for each in trials) for user in drawn), "nobody else got the canary"
    assert sum(stage.status(each).figures.of_trial.num_calls for each in trials) > 0
    assert sum(stage.status(each).figures.of_trial.num_failed for each in trials) == 0


def test_what_a_shadow_says_reaches_nobody_and_is_counted(stage: Stage) -> None:
    shadow = stage.begin(SHADOW, 1.0)
    stage.all_hold(shadow)
    for _ in range(3):
        assert {stage.ask(user) for user in stage.users} == {"v1"}
    wait_until(lambda: stage.status(shadow).figures.likeness.num_compared > 0, what="figures of the shadow")
    end(stage.trials, SHADOW, "test")
    wait_until(lambda: stage.site.num_said("trial_over") == NUM_WORKERS, what="every worker lets go of it")
    assert {stage.ask(user) for user in stage.users} == {"v1"}, "also what was cached meanwhile is the live model's"
    figures = stage.status(shadow).figures
    asked = figures.likeness.num_compared + figures.likeness.num_dropped
    assert asked == 3 * len(stage.users)
    assert figures.of_trial.num_failed == 0
    overlap = figures.likeness.overlap_at_10
    assert overlap is not None
    assert 0 < overlap < 1
