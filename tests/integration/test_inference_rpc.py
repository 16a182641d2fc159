"""The contract of both services on a real gRPC server; the parts behind it are fakes and tiny bundles."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from nightjar.v1 import model_service_pb2 as model_wire
from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.counters import CounterKind
from services.domain.ids import ItemId, UserId
from services.inference.rpc.engines import Engine
from tests.fakes.clock import START
from tests.fakes.history_reader import history_of
from tests.fakes.model_registry import PASSED, REFUSED
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_bench import ServingBench, failure, serving

RECOMMENDER, MODELS = "nightjar.v1.RecommenderService", "nightjar.v1.ModelService"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.fixture
async def bench(tmp_path: Path, engine: Engine) -> AsyncIterator[ServingBench]:
    """A server without a model yet; versions v1, v2 (passed) and v3 (refused) are registered."""
    async with serving(tmp_path, engine) as bench:
        bench.publish("v1", item_vectors(1), age_s=3)
        bench.publish("v2", item_vectors(2), age_s=2)
        bench.publish("v3", item_vectors(3), verdict=REFUSED, age_s=1)
        yield bench


async def test_recommend_answers_with_a_ranked_list_and_where_it_came_from(bench: ServingBench) -> None:
    await bench.promote("v1")
    bench.histories.histories[UserId("ann")] = history_of("item-3", consumed=("item-3",), version="abc")
    reply = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann", k=3))
    assert (reply.model_version, reply.history_version) == ("v1", "abc")
    assert (reply.source, reply.degraded, reply.cache_hit) == (wire.SOURCE_MODEL, False, False)
    assert [item.rank for item in reply.items] == [1, 2, 3]
    assert [item.score for item in reply.items] == sorted((item.score for item in reply.items), reverse=True)
    assert "item-3" not in [item.item_id for item in reply.items]


async def test_who_asks_is_told_where_the_time_went(bench: ServingBench) -> None:
    await bench.promote("v1")
    bench.histories.histories[UserId("ann")] = history_of("item-3")
    asked = wire.RecommendRequest(user_id="ann", k=3, report_timing=True)
    for stages in (["store", "encode", "candidates", "reply"], ["store", "reply"]):  # worked out, and kept
        call = bench.recommendations.Recommend(asked)
        await call
        said = dict(await call.trailing_metadata())["server-timing"]
        assert [stage.partition(";dur=")[0] for stage in str(said).split(", ")] == stages
    asked.report_timing = False
    call = bench.recommendations.Recommend(asked)
    await call
    assert "server-timing" not in dict(await call.trailing_metadata())


async def test_a_store_that_hangs_leaves_time_for_a_simpler_answer_before_the_deadline(bench: ServingBench) -> None:
    """Law 6: within the caller's deadline, not after it."""
    await bench.promote("v1")

    async def hangs(*_: object) -> Any:
        await asyncio.Event().wait()

    bench.histories.read_with_answer = bench.histories.read = hangs  # type: ignore[method-assign, assignment]
    reply = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann", k=3), timeout=1.0)
    assert (reply.degraded, reply.degraded_reason) == (True, wire.DEGRADED_REASON_LATE)
    assert (reply.source, len(reply.items)) == (wire.SOURCE_POPULAR, 3)
    ranking = wire.RankItemsRequest(user_id="ann", item_ids=["item-2", "item-1"])
    ranked = await bench.recommendations.RankItems(ranking, timeout=1.0)
    assert (ranked.degraded_reason, len(ranked.items)) == (wire.DEGRADED_REASON_LATE, 2)


async def test_a_visitor_without_a_name_says_what_is_known_and_what_is_not_wanted(bench: ServingBench) -> None:
    await bench.promote("v1")
    events = [wire.RecentEvent(item_id="item-3", event_type="view")]
    request = wire.RecommendRequest(recent_events=events, k=3)
    reply = await bench.recommendations.Recommend(request)
    assert (reply.source, reply.degraded, len(reply.items)) == (wire.SOURCE_MODEL, False, 3)
    assert reply.history_version
    request.exclude_item_ids.append(reply.items[0].item_id)
    assert [item.item_id for item in (await bench.recommendations.Recommend(request)).items][:2] == [
        item.item_id for item in reply.items[1:]
    ]


async def test_what_was_shown_within_a_span_is_left_out(bench: ServingBench) -> None:
    await bench.promote("v1")
    ann, now_us = UserId("ann"), int(START.timestamp() * 1_000_000)
    bench.histories.histories[ann] = history_of("item-3")
    bench.histories.shown[ann] = {ItemId("item-1"): now_us - 1_000_000, ItemId("item-2"): now_us - 100_000_000}
    request = wire.RecommendRequest(
        user_id="ann", k=9, seen_policy=wire.SEEN_POLICY_EXCLUDE_SHOWN, shown_within=Duration(seconds=60)
    )
    reply = await bench.recommendations.Recommend(request)
    assert sorted(item.item_id for item in reply.items) == [f"item-{number}" for number in (2, 3, 4, 5, 6)]
    request.ClearField("shown_within")
    reply = await bench.recommendations.Recommend(request)
    assert sorted(item.item_id for item in reply.items) == [f"item-{number}" for number in (3, 4, 5, 6)]


async def test_a_callers_list_is_ranked_in_the_callers_order(bench: ServingBench) -> None:
    await bench.promote("v1")
    bench.histories.histories[UserId("ann")] = history_of("item-3", version="abc")
    best = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann", k=6))
    asked = ["item-6", "unknown", "item-1", "item-3"]
    reply = await bench.recommendations.RankItems(wire.RankItemsRequest(user_id="ann", item_ids=asked))
    assert [item.item_id for item in reply.items] == asked
    assert (reply.model_version, reply.history_version, reply.source) == ("v1", "abc", wire.SOURCE_MODEL)
    scores = {item.item_id: item.score for item in best.items}
    assert {item.item_id: item.score for item in reply.items if item.rank} == {
        item_id: scores[item_id] for item_id in asked if item_id in scores
    }
    assert sorted(item.rank for item in reply.items) == [0, 1, 2, 3]
    (unknown,) = [item for item in reply.items if item.item_id == "unknown"]
    assert (unknown.HasField("score"), unknown.not_ranked_reason) == (False, wire.NOT_RANKED_REASON_UNKNOWN_ITEM)
    assert len(reply.request_id) == 32


async def test_what_is_popular_now_is_of_everybody_on_a_surface(bench: ServingBench) -> None:
    """Before the first model as well."""
    bench.counters.said = [(ItemId("new"), 4.5), (ItemId("item-1"), 2.0)]
    request = wire.PopularItemsRequest(window=wire.POPULAR_WINDOW_SHORT, surface="home", k=1)
    reply = await bench.recommendations.PopularItems(request)
    assert [(item.item_id, item.score, item.rank) for item in reply.items] == [("new", 4.5, 1)]
    assert (reply.source, reply.degraded, len(reply.request_id)) == (wire.SOURCE_COUNTERS, False, 32)
    assert bench.counters.asked == [(CounterKind.TRENDING, "home")]
    await bench.recommendations.PopularItems(wire.PopularItemsRequest(exclude_item_ids=["new"]))
    assert bench.counters.asked[1:] == [(CounterKind.POPULAR, None)]


async def test_each_list_has_a_request_id_of_its_own_even_from_the_cache(bench: ServingBench) -> None:
    await bench.promote("v1")
    bench.histories.histories[UserId("ann")] = history_of("item-3")
    first = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann"))
    await bench.background.drain(timeout_s=5)
    second = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann"))
    assert second.cache_hit
    assert list(second.items) == list(first.items)
    assert len({first.request_id, second.request_id, ""}) == 3


async def test_an_unknown_user_gets_popular_items_and_the_reply_says_so(bench: ServingBench) -> None:
    await bench.promote("v1")
    reply = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="nobody", k=2))
    assert [item.item_id for item in reply.items] == ["item-1", "item-2"]
    assert (reply.source, reply.degraded, reply.history_version) == (wire.SOURCE_POPULAR, False, "")


async def test_a_store_that_is_down_degrades_the_reply(bench: ServingBench) -> None:
    await bench.promote("v1")
    bench.histories.is_down = True
    reply = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann"))
    assert (reply.source, reply.degraded) == (wire.SOURCE_POPULAR, True)
    assert reply.degraded_reason == wire.DEGRADED_REASON_FEATURE_STORE_DOWN
    assert len(reply.items) == 6


async def test_similar_items_leave_the_item_itself_out(bench: ServingBench) -> None:
    await bench.promote("v1")
    reply = await bench.recommendations.SimilarItems(wire.SimilarItemsRequest(item_id="item-2"))
    assert reply.model_version == "v1"
    assert sorted(item.item_id for item in reply.items) == ["item-1", "item-3", "item-4", "item-5", "item-6"]
    assert all(-1 <= item.score <= 1 for item in reply.items)


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("Recommend", wire.RecommendRequest(), "user_id"),
        ("Recommend", wire.RecommendRequest(user_id="a\tb"), "user_id"),
        ("Recommend", wire.RecommendRequest(user_id="ann", k=0), "k"),
        ("Recommend", wire.RecommendRequest(user_id="ann", k=501), "k"),
        ("Recommend", wire.RecommendRequest(user_id="x" * 10_000), "user_id"),
        ("Recommend", wire.RecommendRequest(user_id="ann", exclude_item_ids=["a", ""]), "exclude_item_ids[1]"),
        ("Recommend", wire.RecommendRequest(user_id="ann", exclude_item_ids=["a"] * 100_000), "exclude_item_ids"),
        ("Recommend", wire.RecommendRequest(user_id="ann", seen_policy=wire.SeenPolicy.ValueType(77)), "seen_policy"),
        ("Recommend", wire.RecommendRequest(user_id="ann", shown_within=Duration(seconds=1)), "shown_within"),
        ("Recommend", wire.RecommendRequest(user_id="ann", seen_policy=wire.SEEN_POLICY_EXCLUDE_SHOWN,
         shown_within=Duration(seconds=-1)), "shown_within"),
        ("Recommend", wire.RecommendRequest(recent_events=[wire.RecentEvent(item_id="a", event_type="stare")]),
         "recent_events[0].event_type"),
        ("RankItems", wire.RankItemsRequest(item_ids=["a"]), "user_id"),
        ("RankItems", wire.RankItemsRequest(user_id="ann"), "item_ids"),
        ("RankItems", wire.RankItemsRequest(user_id="ann", item_ids=["a", "a"]), "item_ids"),
        ("RankItems", wire.RankItemsRequest(user_id="ann", item_ids=map(str, range(1_001))), "item_ids"),
        ("RankItems", wire.RankItemsRequest(user_id="ann", item_ids=["a", "x" * 300]), "item_ids[1]"),
        ("PopularItems", wire.PopularItemsRequest(k=0), "k"),
        ("PopularItems", wire.PopularItemsRequest(surface="a\nb"), "surface"),
        ("PopularItems", wire.PopularItemsRequest(window=wire.PopularWindow.ValueType(9)), "window"),
        ("PopularItems", wire.PopularItemsRequest(exclude_item_ids=[""]), "exclude_item_ids[0]"),
        ("SimilarItems", wire.SimilarItemsRequest(), "item_id"),
        ("SimilarItems", wire.SimilarItemsRequest(item_id="item-1", k=501), "k"),
        ("ListModels", model_wire.ListModelsRequest(page_size=0), "page_size"),
        ("PromoteModel", model_wire.PromoteModelRequest(actor="ann"), "version"),
        ("PromoteModel", model_wire.PromoteModelRequest(version="v1"), "actor"),
        ("PromoteModel", model_wire.PromoteModelRequest(version="v3", actor="a", override_reason="x" * 2000),
         "override_reason"),
        ("GetModel", model_wire.GetModelRequest(), "version"),
        ("DiffModels", model_wire.DiffModelsRequest(first_version="v1"), "second_version"),
        ("DiffModels", model_wire.DiffModelsRequest(second_version="v1"), "first_version"),
        ("PinModel", model_wire.PinModelRequest(actor="ann", reason="an audit"), "version"),
        ("PinModel", model_wire.PinModelRequest(version="v1", reason="an audit"), "actor"),
        ("PinModel", model_wire.PinModelRequest(version="v1", actor="ann", reason=" "), "reason"),
        ("UnpinModel", model_wire.UnpinModelRequest(actor="ann"), "version"),
        ("UnpinModel", model_wire.UnpinModelRequest(version="v1"), "actor"),
        ("RollbackModel", model_wire.RollbackModelRequest(), "actor"),
        ("RollbackModel", model_wire.RollbackModelRequest(actor="ann", reason="a\0b"), "reason"),
    ],
)  # fmt: skip
async def test_a_bad_request_is_an_invalid_argument_that_names_the_field(
    bench: ServingBench, method: str, request_: Any, field: str
) -> None:
    stub = bench.recommendations if hasattr(bench.recommendations, method) else bench.models
    code, sentence, details = await failure(getattr(stub, method)(request_))
    assert code is StatusCode.INVALID_ARGUMENT
    assert sentence.startswith(f"{field} ")
    assert [violation.field for violation in details["BadRequest"].field_violations] == [field]
    assert (details["ErrorInfo"].reason, details["ErrorInfo"].domain) == ("INVALID_REQUEST", "nightjar")


async def test_an_oversized_request_is_refused_unread(bench: ServingBench) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.recommendations.Recommend(wire.RecommendRequest(user_id="x" * 5_000_000))
    assert raised.value.code() is StatusCode.RESOURCE_EXHAUSTED


async def test_before_the_first_model_the_service_is_unavailable_and_says_why(bench: ServingBench) -> None:
    code, _, details = await failure(bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann")))
    assert (code, details["ErrorInfo"].reason) == (StatusCode.UNAVAILABLE, "MODEL_NOT_READY")


async def test_an_unknown_item_is_not_found(bench: ServingBench) -> None:
    await bench.promote("v1")
    code, _, details = await failure(bench.recommendations.SimilarItems(wire.SimilarItemsRequest(item_id="nothing")))
    assert (code, details["ErrorInfo"].reason) == (StatusCode.NOT_FOUND, "UNKNOWN_ITEM")


async def test_models_are_listed_newest_first_with_state_and_findings(bench: ServingBench) -> None:
    await bench.promote("v1")
    reply = await bench.models.ListModels(model_wire.ListModelsRequest())
    assert [(model.version, model.state) for model in reply.models] == [
        ("v3", model_wire.MODEL_STATE_REFUSED),
        ("v2", model_wire.MODEL_STATE_PASSED),
        ("v1", model_wire.MODEL_STATE_LIVE),
    ]
    assert reply.generation == 1
    assert list(reply.models[0].findings) == [finding.sentence for finding in REFUSED.findings]
    registered = bench.registry.newest(1)[0]
    assert reply.models[0].created_time.ToDatetime(registered.created_time.tzinfo) == registered.created_time
    assert dict(reply.models[0].metrics) == dict(registered.metrics)
    assert len((await bench.models.ListModels(model_wire.ListModelsRequest(page_size=2))).models) == 2


async def test_promotion_and_rollback_change_what_is_live(bench: ServingBench) -> None:
    for version, generation in (("v1", 1), ("v2", 2)):
        made = await bench.models.PromoteModel(model_wire.PromoteModelRequest(version=version, actor="ann"))
        assert (made.live_version, made.generation) == (version, generation)
    back = await bench.models.RollbackModel(model_wire.RollbackModelRequest(actor="bob", reason="worse at home"))
    assert (back.live_version, back.generation) == ("v1", 3)
    newest = bench.registry.assignments(1)[0]
    assert (newest.actor, newest.reason) == ("bob", "worse at home")


async def test_nothing_ungated_is_promoted_without_a_reason(bench: ServingBench) -> None:
    """Law 4."""
    code, _, details = await failure(
        bench.models.PromoteModel(model_wire.PromoteModelRequest(version="v3", actor="ann"))
    )
    assert (code, details["ErrorInfo"].reason) == (StatusCode.FAILED_PRECONDITION, "GATE_NOT_PASSED")
    request = model_wire.PromoteModelRequest(version="v3", actor="ann", override_reason="the holdout is broken")
    assert (await bench.models.PromoteModel(request)).live_version == "v3"
    assert bench.registry.assignments(1)[0].override


async def test_what_cannot_be_promoted_or_rolled_back_has_a_reason(bench: ServingBench) -> None:
    code, _, details = await failure(
        bench.models.PromoteModel(model_wire.PromoteModelRequest(version="v9", actor="ann"))
    )
    assert (code, details["ErrorInfo"].reason) == (StatusCode.NOT_FOUND, "UNKNOWN_VERSION")
    code, _, details = await failure(bench.models.RollbackModel(model_wire.RollbackModelRequest(actor="ann")))
    assert (code, details["ErrorInfo"].reason) == (StatusCode.FAILED_PRECONDITION, "NOTHING_TO_ROLL_BACK")


async def health_of(bench: ServingBench, service: str) -> int:
    stub: Any = health_pb2_grpc.HealthStub(bench.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_health_of_each_service_follows_the_model(bench: ServingBench) -> None:
    assert [await health_of(bench, name) for name in ("", RECOMMENDER, MODELS)] == [NOT_SERVING, NOT_SERVING, SERVING]
    await bench.promote("v1")
    assert [await health_of(bench, name) for name in ("", RECOMMENDER, MODELS)] == [SERVING] * 3
    await bench.health.stopping()
    assert [await health_of(bench, name) for name in ("", RECOMMENDER, MODELS)] == [NOT_SERVING] * 3


async def test_a_health_watcher_is_told_when_the_model_comes(bench: ServingBench) -> None:
    """Also: the guard leaves a stream that a coroutine writes itself as it is."""
    stub: Any = health_pb2_grpc.HealthStub(bench.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=RECOMMENDER))
    assert (await watch.read()).status == NOT_SERVING
    await bench.promote("v1")
    assert (await watch.read()).status == SERVING
    watch.cancel()


async def test_an_unknown_service_has_no_health(bench: ServingBench) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await health_of(bench, "no.such.Service")
    assert raised.value.code() is StatusCode.NOT_FOUND


async def test_reflection_lists_the_services(bench: ServingBench) -> None:
    channel: Any = bench.channel
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = [service.name async for reply in call for service in reply.list_services_response.service]
    assert {RECOMMENDER, MODELS, "grpc.health.v1.Health"} <= set(names)


async def test_the_vitals_of_a_model_are_of_the_calls_that_it_answers(bench: ServingBench) -> None:
    """Else a share of degraded answers would be one of other calls, and a watch would take back a good model."""
    await bench.promote("v1")
    bench.histories.is_down = bench.counters.is_down = True
    await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann"))
    await bench.recommendations.RankItems(wire.RankItemsRequest(user_id="ann", item_ids=["item-1"]))
    await bench.recommendations.PopularItems(wire.PopularItemsRequest())
    await bench.recommendations.SimilarItems(wire.SimilarItemsRequest(item_id="item-1"))
    vitals = bench.recorder.vitals.now
    assert (vitals.num_calls, vitals.num_degraded) == (2, 2)


async def test_calls_are_counted_by_method_and_code(bench: ServingBench) -> None:
    await bench.promote("v1")
    # A refusal is counted after it was sent, a good call before: in this order both are when the second one is back.
    await failure(bench.recommendations.Recommend(wire.RecommendRequest()))
    await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann"))
    method = f"/{RECOMMENDER}/Recommend"
    for code in ("OK", "INVALID_ARGUMENT"):
        assert bench.recorder.value("nightjar_requests_total", method=method, code=code) == 1
    assert bench.recorder.value("nightjar_request_seconds_count", method=method) == 2


async def test_a_method_that_nobody_serves_is_unimplemented_and_not_counted(bench: ServingBench) -> None:
    """Names that callers make up must not become labels: there is no end to them."""
    call: Any = bench.channel.unary_unary("/made.up.Service/Method")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call(b"")
    assert raised.value.code() is StatusCode.UNIMPLEMENTED
    assert bench.recorder.value("nightjar_requests_total", method="/made.up.Service/Method", code="UNIMPLEMENTED") == 0


def test_the_verdicts_of_the_fixture_are_what_they_say() -> None:
    assert PASSED.passed
    assert not REFUSED.passed
