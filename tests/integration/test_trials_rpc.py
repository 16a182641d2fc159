"""Trials over gRPC: begun, widened, seen and ended by any client, with the errors that the contract names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode

from nightjar.v1 import trial_pb2 as wire
from nightjar.v1.recommender_service_pb2 import RecommendRequest
from services.domain.fleet import ServingWorker
from services.domain.ids import ModelVersion, UserId
from services.domain.trials import Likeness, TrialFigures, TrialKind, TrialReport
from services.domain.vitals import VitalsCounter
from services.inference.rpc.engines import Engine
from services.inference.serving_model import load_serving_model
from tests.fakes.clock import START
from tests.fakes.model_registry import PASSED, REFUSED
from tests.fakes.tiny_bundle import item_vectors
from tests.fakes.trials import trial
from tests.integration.serving_bench import ServingBench, failure, serving

CANARY, SHADOW = wire.TRIAL_KIND_CANARY, wire.TRIAL_KIND_SHADOW


@pytest.fixture
async def bench(tmp_path: Path, engine: Engine) -> AsyncIterator[ServingBench]:
    """v1 is live, v2 passed the gate and v3 did not."""
    async with serving(tmp_path, engine) as bench:
        for seed, version in enumerate(("v1", "v2", "v3")):
            bench.publish(version, item_vectors(seed), verdict=REFUSED if version == "v3" else PASSED)
        await bench.promote("v1")
        yield bench


def start(version: str, kind: wire.TrialKind.ValueType = CANARY, share: float | None = None) -> wire.StartTrialRequest:
    return wire.StartTrialRequest(kind=kind, version=version, share=share, actor="ada")


async def test_a_trial_begins_widens_and_ends(bench: ServingBench) -> None:
    began = (await bench.models.StartTrial(start("v2"))).trial
    assert (began.kind, began.version, began.share, began.actor) == (CANARY, "v2", 0.05, "ada")
    assert (began.number, began.first_number, began.is_override) == (1, 1, False)
    assert began.change_time.ToDatetime(START.tzinfo) == START
    wider = (await bench.models.StartTrial(start("v2", share=0.5))).trial
    assert (wider.share, wider.number, wider.first_number) == (0.5, 2, 1)
    shadow = (await bench.models.StartTrial(start("v3", SHADOW))).trial
    assert (shadow.kind, shadow.share) == (SHADOW, 1.0)
    ended = (await bench.models.EndTrial(wire.EndTrialRequest(kind=CANARY, actor="bob", reason="seen"))).trial
    assert (ended.version, ended.share, ended.actor, ended.reason) == ("v2", 0.0, "bob", "seen")
    again = await bench.models.EndTrial(wire.EndTrialRequest(kind=CANARY, actor="bob"))
    assert not again.HasField("trial")


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (start("v3"), StatusCode.FAILED_PRECONDITION, "GATE_NOT_PASSED"),
        (start("v4"), StatusCode.NOT_FOUND, "UNKNOWN_VERSION"),
        (start("v1"), StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (start("v2", share=0.0), StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (start("v2", wire.TRIAL_KIND_UNSPECIFIED), StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
        (wire.StartTrialRequest(kind=CANARY, version="v2"), StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    ],
    ids=["ungated", "unknown", "live", "no share", "no kind", "no actor"],
)
async def test_what_cannot_begin_has_a_reason(
    bench: ServingBench, request_: wire.StartTrialRequest, code: StatusCode, reason: str
) -> None:
    found, _, details = await failure(bench.models.StartTrial(request_))
    assert (found, details["ErrorInfo"].reason) == (code, reason)
    assert list(bench.trials.changes(10)) == []


async def test_another_version_must_wait_and_an_override_is_recorded(bench: ServingBench) -> None:
    request = start("v3")
    request.override_reason = "the holdout is broken"
    made = (await bench.models.StartTrial(request)).trial
    assert (made.is_override, made.reason) == (True, "the holdout is broken")
    code, _, details = await failure(bench.models.StartTrial(start("v2")))
    assert (code, details["ErrorInfo"].reason) == (StatusCode.FAILED_PRECONDITION, "TRIAL_UNDER_WAY")


async def test_the_list_shows_both_sides_and_how_like_a_shadow_is(bench: ServingBench) -> None:
    await bench.models.StartTrial(start("v2"))
    await bench.models.StartTrial(start("v3", SHADOW))
    slow, calm = VitalsCounter(), VitalsCounter()
    slow.call(0.01, failed=True)
    slow.degraded()
    calm.call(0.001, failed=False)
    bench.fleet.report(ServingWorker("a", "host/1", 1, START))
    bench.fleet.report(ServingWorker("b", "host/1", 2, START))
    bench.trials.report(TrialReport(1, "a", START, is_held=True, figures=TrialFigures(slow.now, calm.now)))
    bench.trials.report(TrialReport(1, "b", START, is_held=False, problem="BundleBroken: cut"))
    bench.trials.report(TrialReport(2, "a", START, is_held=True, figures=TrialFigures(likeness=Likeness(4, 3.0, 2))))
    shadow, canary = (await bench.models.ListTrials(wire.ListTrialsRequest())).trials
    side = canary.trial_side
    assert (side.num_calls, side.num_failed, side.num_degraded) == (1, 1, 1)
    assert side.p99.ToTimedelta() > canary.live_side.p99.ToTimedelta()
    assert (canary.num_holding, canary.num_workers, list(canary.problems)) == (1, 2, ["BundleBroken: cut"])
    assert canary.begin_time.ToDatetime(START.tzinfo) == START
    assert not canary.HasField("overlap_at_10")
    assert (shadow.overlap_at_10, shadow.num_compared, shadow.num_dropped) == (0.75, 4, 2)
    assert not shadow.HasField("live_side")
    assert not shadow.trial_side.HasField("p99")
    assert len((await bench.models.ListTrials(wire.ListTrialsRequest(page_size=1))).trials) == 1


async def test_what_a_canary_answers_is_no_vital_of_the_live_model(bench: ServingBench) -> None:
    """Else a slow canary would have the night's watch take back a good live model."""
    folder = Path(bench.registry.get(ModelVersion("v2")).location)
    canary = trial(TrialKind.CANARY, "v2", 0.5)
    users = [f"user-{number}" for number in range(10)]
    num_canarys = sum(canary.includes(UserId(user)) for user in users)
    assert 0 < num_canarys < len(users)
    bench.on_trial.hold(bench.on_trial.ready(canary, load_serving_model(folder), ""))
    bench.histories.is_down = True  # so that every answer is degraded
    versions = [(await bench.recommendations.Recommend(RecommendRequest(user_id=user))).model_version for user in users]
    assert versions.count("v2") == num_canarys
    vitals = bench.recorder.vitals.now
    assert (vitals.num_calls, vitals.num_degraded) == (len(users) - num_canarys, len(users) - num_canarys)
    held = bench.on_trial.canary
    assert held is not None
    assert (held.tally.now.of_trial.num_calls, held.tally.now.of_trial.num_degraded) == (num_canarys, num_canarys)


@pytest.mark.parametrize("page_size", [0, 51])
async def test_a_page_has_one_to_fifty_trials(bench: ServingBench, page_size: int) -> None:
    code, _, _ = await failure(bench.models.ListTrials(wire.ListTrialsRequest(page_size=page_size)))
    assert code is StatusCode.INVALID_ARGUMENT
