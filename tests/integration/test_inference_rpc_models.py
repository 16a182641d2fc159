"""What ModelService tells of single versions, on a real gRPC server; the rest is in test_inference_rpc.py."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from grpc import StatusCode

from nightjar.v1 import model_service_pb2 as wire
from services.domain.ids import ModelVersion
from services.domain.models import Provenance, StageCost
from services.inference.rpc.engines import Engine
from tests.fakes.clock import START
from tests.fakes.model_registry import PASSED, model
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_bench import ServingBench, serving

CONFIGURATION = {"train": {"dim": 16, "options": {"l2": 0.5}}, "until_us": None, "event_types": [{"name": "view"}]}


@pytest.fixture
async def bench(tmp_path: Path, engine: Engine) -> AsyncIterator[ServingBench]:
    """Version v1 is published, `told` says all there is to say, and `old` is of an older release."""
    async with serving(tmp_path, engine) as bench:
        bench.publish("v1", item_vectors(1), age_s=30)
        told = replace(
            model("told", verdict=PASSED, age_s=20, ndcg_at_10=0.25), origin="night-1/warm", parent=ModelVersion("v1"),
            provenance=Provenance(
                "0.1.0+abc", 7, CONFIGURATION, START - timedelta(days=3), START,
                {"read": StageCost(1.5, 1.25), "fit": StageCost(9.0, 16.0, 4.0)},
            ),
        )  # fmt: skip
        bench.registry.register(told)
        bench.registry.register(replace(model("old", age_s=10, coverage_at_10=0.5), data_version=9))
        yield bench


async def code_of(call: Any) -> StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return raised.value.code()


async def test_everything_is_told_of_a_version(bench: ServingBench) -> None:
    told = await bench.models.GetModel(wire.GetModelRequest(version="told"))
    assert (told.model.version, told.model.origin, told.model.parent_version) == ("told", "night-1/warm", "v1")
    assert (told.model.state, told.code_version, told.seed) == (wire.MODEL_STATE_PASSED, "0.1.0+abc", 7)
    assert MessageToDict(told.settings) == CONFIGURATION
    assert told.last_event_time.ToDatetime(START.tzinfo) == START
    assert [(each.stage, each.cpu_s, each.HasField("gpu_s")) for each in told.costs] == [
        ("read", 1.25, False),
        ("fit", 16.0, True),
    ]
    (finding,) = told.findings
    assert (finding.rule, finding.passed, finding.threshold) == ("gain_over_popularity", True, 0.0)
    assert (told.bundle_digest, told.bundle_location) == ("0" * 64, "/bundles/told")
    assert list(told.assignments) == []


async def test_when_a_version_was_live_is_told_with_who_and_why(bench: ServingBench) -> None:
    await bench.models.PromoteModel(wire.PromoteModelRequest(version="v1", actor="ann"))
    await bench.models.PromoteModel(wire.PromoteModelRequest(version="told", actor="ann"))
    await bench.models.RollbackModel(wire.RollbackModelRequest(actor="bob", reason="worse at home"))
    told = await bench.models.GetModel(wire.GetModelRequest(version="v1"))
    assert told.model.state == wire.MODEL_STATE_LIVE
    assert [(each.generation, each.actor, each.restored_generation) for each in told.assignments] == [
        (3, "bob", 1),
        (1, "ann", 0),
    ]
    assert not told.assignments[1].HasField("restored_generation")


async def test_what_an_older_release_did_not_say_is_unset(bench: ServingBench) -> None:
    told = await bench.models.GetModel(wire.GetModelRequest(version="old"))
    assert not told.HasField("seed")
    assert not told.HasField("first_event_time")
    assert not told.model.HasField("pin")
    assert not told.model.HasField("deleted_time")


async def test_two_versions_are_told_apart(bench: ServingBench) -> None:
    found = await bench.models.DiffModels(wire.DiffModelsRequest(first_version="told", second_version="old"))
    apart = {each.name: (each.first, each.second) for each in found.settings}
    dim, nothing = apart["train.dim"]
    assert (dim.number_value, nothing.WhichOneof("kind")) == (16, "null_value")
    assert apart["parent"][0].string_value == "v1"
    assert "kind" not in apart
    assert ("data_version", 7, 9) in [
        (each.name, each.first.number_value, each.second.number_value) for each in found.data
    ]
    assert [(each.name, each.HasField("first"), each.HasField("second")) for each in found.metrics] == [
        ("coverage_at_10", False, True),
        ("ndcg_at_10", True, False),
    ]


async def test_a_version_is_pinned_and_unpinned(bench: ServingBench) -> None:
    request = wire.PinModelRequest(version="v1", actor="ann", reason="an audit")
    pinned = (await bench.models.PinModel(request)).model
    assert (pinned.pin.actor, pinned.pin.reason) == ("ann", "an audit")
    listed = await bench.models.ListModels(wire.ListModelsRequest())
    assert [each.version for each in listed.models if each.HasField("pin")] == ["v1"]
    freed = (await bench.models.UnpinModel(wire.UnpinModelRequest(version="v1", actor="ann"))).model
    assert not freed.HasField("pin")
    assert bench.registry.get(ModelVersion("v1")).pin is None


async def test_what_is_gone_or_never_was_has_a_code_of_its_own(bench: ServingBench) -> None:
    models, version = bench.models, ModelVersion("old")
    bench.registry.retire(version)
    told = await models.GetModel(wire.GetModelRequest(version=version))
    assert told.model.deleted_time.ToDatetime(START.tzinfo) == bench.registry.get(version).deleted_time
    for request in (
        models.PinModel(wire.PinModelRequest(version=version, actor="ann", reason="an audit")),
        models.UnpinModel(wire.UnpinModelRequest(version=version, actor="ann")),
        models.PromoteModel(wire.PromoteModelRequest(version=version, actor="ann", override_reason="all the same")),
    ):
        assert await code_of(request) is StatusCode.FAILED_PRECONDITION
    unknown: tuple[Any, ...] = (
        models.GetModel(wire.GetModelRequest(version="v9")),
        models.DiffModels(wire.DiffModelsRequest(first_version="v1", second_version="v9")),
        models.PinModel(wire.PinModelRequest(version="v9", actor="ann", reason="an audit")),
    )
    for call in unknown:
        assert await code_of(call) is StatusCode.NOT_FOUND
