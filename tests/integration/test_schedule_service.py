"""ScheduleService: a real scheduler process, and a client of the generated stubs."""

import json
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from nightjar.v1 import schedule_service_pb2 as wire
from nightjar.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from scheduler import timetable
from scheduler.wiring import onlooker
from services.domain.errors import NotRunning
from services.domain.runs import RunState
from services.settings import load
from tests.integration.scheduler_home import WELL, Home
from tests.waiting import wait_until

BAD_DATA = """
MODULES["services.training.checking"] = lambda: check(False)
MODULES[module]()
"""
SERVICE = "nightjar.v1.ScheduleService"
ACTOR = "ann@example.org"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path, f"sqlite:///{tmp_path / 'catalog.db'}")
    home.environment["NIGHTJAR_SCHEDULE__PORT"] = "0"
    home.fill_log()
    yield home
    home.end_all()


@pytest.fixture
def channel(home: Home) -> Iterator[grpc.Channel]:
    """To a scheduler whose checks refuse the data."""
    home.ready(home.start(BAD_DATA))
    with grpc.insecure_channel(target(home)) as channel:
        yield channel


def target(home: Home) -> str:
    return f"127.0.0.1:{json.loads(home.ready_file.read_text())['port']}"


def refused(call: Any, request: Any) -> tuple[str, str, str]:
    """Status code, reason of the ErrorInfo, and sentence of a call that must fail."""
    with pytest.raises(grpc.RpcError) as raised:
        call(request, timeout=30)
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # an error of a call is the call
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return raised.value.code().name, info.reason, status.message


def test_a_night_is_run_looked_at_and_gone_on_with_over_grpc(home: Home, channel: grpc.Channel) -> None:
    nights = ScheduleServiceStub(channel)
    assert refused(nights.GetNight, wire.GetNightRequest())[:2] == ("NOT_FOUND", "UNKNOWN_NIGHT")

    begun = nights.RunNight(wire.RunNightRequest(actor=ACTOR), timeout=60).night
    assert (begun.night_id, begun.trigger) == (1, "run-now")
    wait_until(lambda: home.last().state is not RunState.RUNNING, 60, "the checks refuse")
    shown = nights.GetNight(wire.GetNightRequest(), timeout=30)
    assert shown.night.state == wire.NIGHT_STATE_REFUSED
    assert shown.night.end_time.ToDatetime() >= shown.night.start_time.ToDatetime()
    assert shown.night.detail == "check: Half of the usual events came."
    steps = {step.name: step for step in shown.steps}
    assert list(steps) == ["compact", "pin", "check", "report"]
    check = steps["check"]
    assert (check.state, check.attempts) == (wire.STEP_STATE_REFUSED, 1)
    assert MessageToDict(check.inputs)["data_version"] == MessageToDict(steps["pin"].outputs)["data_version"]
    assert MessageToDict(check.outputs)["findings"][0]["rule"] == "volume"
    assert json.loads(check.log_lines[-1])["event"] == "done"

    unexplained = refused(nights.ResumeNight, wire.ResumeNightRequest(actor=ACTOR))
    assert unexplained[:2] == ("INVALID_ARGUMENT", "INVALID_REQUEST")
    assert "accept_reason must say why" in unexplained[2]
    request = wire.ResumeNightRequest(night_id=1, actor=ACTOR, accept_reason="a public holiday")
    assert nights.ResumeNight(request, timeout=30).night.state == wire.NIGHT_STATE_RUNNING
    wait_until(lambda: home.last().state is RunState.SUCCEEDED, 90, "the night goes on")
    done = nights.GetNight(wire.GetNightRequest(night_id=1), timeout=30)
    (check,) = [step for step in done.steps if step.name == "check"]
    assert check.state == wire.STEP_STATE_ACCEPTED
    assert check.detail == f"Accepted by {ACTOR}: a public holiday"
    assert done.night.version == "night-1-nightly"
    over = refused(nights.ResumeNight, wire.ResumeNightRequest(actor=ACTOR, accept_reason="again"))
    assert over[:2] == ("FAILED_PRECONDITION", "NIGHT_NOT_RESUMABLE")


def test_nights_come_in_pages_and_the_schedule_is_paused_and_resumed(home: Home, channel: grpc.Channel) -> None:
    for _ in range(3):
        run = home.runs.begin("night", "schedule")
        assert run is not None
        home.runs.finish(run, RunState.FAILED, detail="no room")
    nights = ScheduleServiceStub(channel)
    first = nights.ListNights(wire.ListNightsRequest(page_size=2), timeout=30)
    assert [night.night_id for night in first.nights] == [3, 2]
    last = nights.ListNights(wire.ListNightsRequest(page_size=2, page_token=first.next_page_token), timeout=30)
    assert ([night.night_id for night in last.nights], last.next_page_token) == ([1], "")
    assert [night.night_id for night in nights.ListNights(wire.ListNightsRequest(), timeout=30).nights] == [3, 2, 1]
    for request in (wire.ListNightsRequest(page_size=0), wire.ListNightsRequest(page_token="-1")):
        assert refused(nights.ListNights, request)[0] == "INVALID_ARGUMENT"
    older = refused(nights.ResumeNight, wire.ResumeNightRequest(night_id=1, actor=ACTOR))
    assert older[:2] == ("FAILED_PRECONDITION", "NIGHT_NOT_RESUMABLE")
    assert home.runs.newest(3)[2].state is RunState.FAILED

    planned = nights.GetSchedule(wire.GetScheduleRequest(), timeout=30).schedule
    assert (planned.nightly_cron, planned.time_zone, planned.paused) == ("0 2 * * *", "UTC", False)
    assert planned.next_run_time.ToDatetime().hour == 2
    paused = nights.PauseNights(wire.PauseNightsRequest(actor=ACTOR), timeout=30).schedule
    assert (paused.paused, paused.HasField("next_run_time")) == (True, False)
    assert home.command("schedule", "list")["paused"] is True
    resumed = nights.ResumeNights(wire.ResumeNightsRequest(actor=ACTOR), timeout=30).schedule
    assert (resumed.paused, resumed.next_run_time) == (False, planned.next_run_time)
    nameless: list[tuple[Any, Any]] = [
        (nights.PauseNights, wire.PauseNightsRequest()),
        (nights.ResumeNights, wire.ResumeNightsRequest()),
        (nights.RunNight, wire.RunNightRequest()),
        (nights.ResumeNight, wire.ResumeNightRequest()),
    ]
    for change, request in nameless:
        assert "actor" in refused(change, request)[2]


def test_it_has_health_and_reflection_and_a_stop_ends_it_with_the_process(home: Home) -> None:
    process = home.start(WELL)
    home.ready(process)
    with grpc.insecure_channel(target(home)) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its type stubs lack the methods
        for service in ("", SERVICE):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert SERVICE in ProtoReflectionDescriptorDatabase(channel).get_services()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, home.log.read_text()


def test_who_asks_for_a_night_is_told_at_once_when_the_scheduler_stops(home: Home) -> None:
    """A stop does not wait for a night that nobody takes any more, and what was asked is withdrawn."""
    settings = load(home=home.folder, database={"url": home.environment["NIGHTJAR_DATABASE__URL"]})
    with onlooker(settings) as parts:
        timetable.plan_nights(parts.timetable, settings.schedule)
        stopping = replace(parts.desk, pause=lambda _: True)
        with pytest.raises(NotRunning):
            stopping.run_now()
        assert parts.timetable.get_job(timetable.RUN_NOW) is None


def test_a_port_that_is_taken_is_one_sentence_with_the_setting_to_change(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        home.environment["NIGHTJAR_SCHEDULE__PORT"] = str(taken.getsockname()[1])
        process = home.start(WELL)
        assert process.wait(60) == 1
    assert "NIGHTJAR_SCHEDULE__PORT" in home.log.read_text()
    assert not home.ready_file.exists()


def test_without_a_port_nothing_is_served(home: Home) -> None:
    del home.environment["NIGHTJAR_SCHEDULE__PORT"]
    home.ready(home.start(WELL))
    assert json.loads(home.ready_file.read_text())["port"] is None
