"""The supervisor on real processes: Kafka, Valkey, and small Python programs in the place of the services."""

import functools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer

from deploy.embedded import processes, state, valkey
from deploy.embedded.services import environment
from deploy.embedded.supervisor import Stack
from services.domain.errors import PortInUse, StartFailed
from services.settings import Settings
from tests.waiting import wait_until

READY = "import pathlib, signal, subprocess, sys; pathlib.Path(sys.argv[-1]).write_text('{}'); "
UNTIL_TOLD = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
STEADY = ("-c", f"import signal, sys; {UNTIL_TOLD}{READY}signal.pause()")
STUBBORN = ("-c", f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}signal.pause()")
HOPELESS = ("-c", "import sys; sys.exit('the reason is here')")
PARENT = (
    "-c",
    f"import signal, subprocess, sys; {UNTIL_TOLD}subprocess.Popen(['sleep', '600']); {READY}signal.pause()",
)
SCRIPT = """
import signal
from deploy.embedded.supervisor import Stack
from services import logs
from services.settings import load
logs.configure("info", "test")
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may have had it ignored
with Stack(load(), programs={{"steady": {steady!r}}}) as stack:
    stack.start_infrastructure()
    stack.start_services()
    print("ready", flush=True)
    signal.sigwait([signal.SIGUSR1])
"""


def _settings(home: Path, *, with_kafka: bool = False, with_redis: bool = False) -> Settings:
    """Settings of a stack on free ports; what it does not need is 'given by the operator' and never asked."""
    mine: dict[str, object] = {"home": home, "serve": {"port": 0, "drain_s": 0}, "gateway": {"port": 0, "drain_s": 0}}
    if not with_kafka:
        mine["kafka"] = {"bootstrap_servers": "127.0.0.1:1"}
    if not with_redis:
        mine["redis"] = {"url": "redis://127.0.0.1:1"}
    return Settings.model_validate(mine)


def _stack(home: Path, programs: Mapping[str, Sequence[str]]) -> Stack:
    return Stack(_settings(home), programs)


def _run_script(home: Path, settings: Settings) -> "subprocess.Popen[str]":
    script = SCRIPT.format(steady=STEADY)
    return subprocess.Popen(
        [sys.executable, "-c", script], env=environment(settings), stdout=subprocess.PIPE, text=True
    )


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_two_stacks_run_side_by_side_and_keep_their_data_through_a_restart(tmp_path: Path) -> None:
    first_home, second_home = tmp_path / "first", tmp_path / "second"

    def open_stack(home: Path) -> Stack:
        return Stack(_settings(home, with_kafka=True, with_redis=True), programs={})

    with open_stack(first_home) as first, open_stack(second_home) as second:
        for stack in (first, second):
            stack.start_infrastructure()
            stack.create_topics()
            stack.create_topics()  # may be repeated
            servers = stack.settings.kafka.bootstrap_servers
            producer = KafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True)
            producer.send(stack.settings.kafka.events_topic, stack.settings.home_folder.name.encode()).get(timeout=20)
            producer.close()
        assert first.settings.kafka.bootstrap_servers != second.settings.kafka.bootstrap_servers
        pids = [first.pid("kafka"), first.pid("valkey"), second.pid("kafka"), second.pid("valkey")]
        with _redis(first) as client:
            client.set("kept", "yes")
        with _redis(second) as client:
            assert client.get("kept") is None
        listening = {
            connection.laddr.ip
            for pid in pids
            for connection in psutil.Process(pid).net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert {address.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert not any(psutil.pid_exists(pid) for pid in pids)

    with open_stack(first_home) as again:
        again.start_infrastructure()
        assert again.settings.kafka.bootstrap_servers == first.settings.kafka.bootstrap_servers
        consumer = KafkaConsumer(
            again.settings.kafka.events_topic,
            bootstrap_servers=again.settings.kafka.bootstrap_servers,
            auto_offset_reset="earliest",
            consumer_timeout_ms=20_000,
        )
        assert next(consumer).value == b"first"
        consumer.close()
        with _redis(again) as client:
            assert client.get("kept") == b"yes"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = _run_script(home, _settings(home, with_kafka=True, with_redis=True))
    try:
        assert script.stdout is not None
        assert script.stdout.readline() == "ready\n"
        names = {part.name for part in state.read(home).parts}
        assert names == {"kafka", "valkey", "steady"}
    finally:
        script.kill()
        script.wait()
    wait_until(lambda: not _parts_alive(home), timeout_s=20, what="all children gone")


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_an_interrupt_while_kafka_starts_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = _run_script(home, _settings(home, with_kafka=True, with_redis=True))
    try:
        wait_until(lambda: {part.name for part in state.read(home).parts} == {"kafka", "valkey"}, timeout_s=60)
        left = [part.identity for part in state.read(home).parts]
    finally:
        script.send_signal(signal.SIGINT)
        assert script.wait(60) != 0
    assert not any(identity.process() for identity in left)
    assert state.read(home).supervisor is None


def test_what_a_crash_left_is_replaced(tmp_path: Path) -> None:
    """A Valkey that outlived its supervisor is ended, and the new one has its port and its data."""
    settings = _settings(tmp_path, with_redis=True)
    with Stack(settings, {}) as crashed:
        crashed.start_infrastructure()
        with _redis(crashed) as client:
            client.set("kept", "yes")
        left = state.read(tmp_path)
    outlived = subprocess.Popen(
        _valkey_command(tmp_path, left.ports["valkey"]), stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        identity = processes.Identity.of(outlived.pid)
        part = state.Part("valkey", identity, "running", left.ports["valkey"], str(tmp_path / "valkey.log"))
        state.write(tmp_path, state.StackState(processes.Identity(1, 0.0), ports=left.ports, parts=(part,)))
        with Stack(settings, {}) as again:
            again.start_infrastructure()
            assert outlived.wait(10) is not None
            assert again.pid("valkey") != outlived.pid
            assert state.read(tmp_path).ports["valkey"] == left.ports["valkey"]
            with _redis(again) as client:
                assert client.get("kept") == b"yes"
    finally:
        outlived.kill()
        outlived.wait()


def test_a_service_that_dies_at_its_start_is_named_with_its_last_words(tmp_path: Path) -> None:
    with _stack(tmp_path, {"steady": STEADY, "hopeless": HOPELESS}) as stack:
        with pytest.raises(StartFailed) as raised:
            stack.start_services()
        steady = psutil.Process(stack.pid("steady"))
    assert "hopeless ended with status 1" in str(raised.value)
    assert "the reason is here" in str(raised.value)
    assert str(tmp_path / "logs" / "hopeless.log") in str(raised.value)
    assert not steady.is_running()


def test_a_service_that_dies_later_is_started_again(tmp_path: Path) -> None:
    with _stack(tmp_path, {"steady": STEADY}) as stack:
        stack.start_services()
        first_pid = stack.pid("steady")
        os.kill(first_pid, signal.SIGKILL)
        deadline = time.monotonic() + 30

        def is_back() -> bool:
            (part,) = state.read(tmp_path).parts
            assert time.monotonic() < deadline
            return part.condition == "running" and part.identity.pid != first_pid

        stack.watch(until=is_back)
        assert state.read(tmp_path).parts[0].restarts == 1


def test_the_state_file_tells_who_runs_where(tmp_path: Path) -> None:
    with _stack(tmp_path, {"inference": STEADY}) as stack:
        stack.start_services()
        known = state.read(tmp_path)
        (part,) = known.parts
        assert known.running
        assert (part.name, part.identity.pid, part.condition) == ("inference", stack.pid("inference"), "running")
        assert part.port == known.serve_port == stack.settings.serve.port != 0
    assert state.read(tmp_path) == known.stopped()


def test_a_home_holds_one_stack(tmp_path: Path) -> None:
    with _stack(tmp_path, {"steady": STEADY}) as stack:
        stack.start_services()
        with pytest.raises(StartFailed, match=f"already running in {tmp_path}"):
            _stack(tmp_path, {"steady": STEADY}).start_services()
        assert psutil.Process(stack.pid("steady")).is_running()


def test_a_taken_port_stops_the_start_before_anything_runs(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        taken = Settings.model_validate({"home": tmp_path, "serve": {"port": port}})
        with Stack(taken, {}) as stack, pytest.raises(PortInUse, match="NIGHTJAR_SERVE__PORT"):
            stack.start_infrastructure()
    assert state.read(tmp_path) == state.StackState()
    with _stack(tmp_path, {"steady": STEADY}) as stack:  # the home is not held by the one that failed
        stack.start_services()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFailed, match="NIGHTJAR_HOME"):
        _stack(tmp_path / "file" / "home", {}).start_infrastructure()


def test_who_ignores_the_request_to_stop_is_killed_and_so_are_its_own_children(tmp_path: Path) -> None:
    for name, arguments in (("stubborn", STUBBORN), ("parent", PARENT)):
        marker = tmp_path / f"{name}.ready"
        program = processes.Program(
            name=name,
            command=[sys.executable, *arguments, str(marker)],
            log=tmp_path / f"{name}.log",
            is_ready=marker.is_file,
            ready_file=marker,
            stop_timeout_s=0.5 if name == "stubborn" else 10.0,
        )
        with processes.running(program) as child:
            family = [psutil.Process(child.identity.pid), *psutil.Process(child.identity.pid).children()]
            assert len(family) == (2 if name == "parent" else 1)
        assert child.exit_status() == (-signal.SIGKILL if name == "stubborn" else 0)
        wait_until(functools.partial(_all_gone, family))


def test_a_service_that_is_never_ready_fails_in_time(tmp_path: Path) -> None:
    program = processes.Program(
        name="slow",
        command=["sleep", "600"],
        log=tmp_path / "slow.log",
        is_ready=lambda: False,
        start_timeout_s=0.2,
    )
    with pytest.raises(StartFailed, match=r"slow was not ready within 0.2 s"), processes.running(program):
        pytest.fail("it was never ready")


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    program = processes.Program("ghost", ["/no/such/program"], tmp_path / "ghost.log", is_ready=lambda: False)
    with pytest.raises(StartFailed, match=r"(?s)ghost .*/no/such/program"), processes.running(program):
        pytest.fail("it was never there")


def _redis(stack: Stack) -> redis.Redis:
    assert stack.settings.redis.url is not None
    return redis.Redis.from_url(stack.settings.redis.url.get_secret_value())


def _valkey_command(home: Path, port: int) -> Sequence[str]:
    return valkey.program(valkey.find_server(), home / "valkey", port, home / "valkey.log").command


def _all_gone(family: Sequence[psutil.Process]) -> bool:
    return not any(process.is_running() for process in family)


def _parts_alive(home: Path) -> list[str]:
    return [part.name for part in state.read(home).parts if part.identity.process() is not None]
