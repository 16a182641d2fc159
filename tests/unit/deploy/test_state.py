"""The state file, and the settings that come out of it."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.embedded import state
from deploy.embedded.processes import Identity
from deploy.embedded.state import Address, Part, StackState
from services.domain.errors import InvalidSettings, NotRunning, StartFailed
from services.settings import Settings

ME = Identity.of(os.getpid())
RUNNING = StackState(
    supervisor=ME,
    bootstrap_servers="127.0.0.1:9092",
    redis_url="redis://127.0.0.1:6379/0",
    serve_port=50099,
    gateway_port=50098,
    ports={"kafka": 9092, "valkey": 6379, "inference": 50099, "gateway": 50098},
    parts=(Part("kafka", ME, "running", 9092, "/logs/kafka.log", restarts=1),),
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    state.write(tmp_path, RUNNING)
    assert state.read(tmp_path) == RUNNING


def test_a_home_without_a_stack_has_an_empty_state(tmp_path: Path) -> None:
    assert state.read(tmp_path) == StackState()


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"parts": 1}', '{"unknown": 1, "parts": []}'])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / state.FILE).write_text(text)
    with pytest.raises(StartFailed, match=str(tmp_path / state.FILE)):
        state.read(tmp_path)


def test_a_process_id_given_to_another_process_is_not_ours() -> None:
    assert ME.process() is not None
    assert replace(ME, start_time=ME.start_time - 60).process() is None


def test_unset_addresses_come_from_the_running_stack(tmp_path: Path) -> None:
    state.write(tmp_path, RUNNING)
    found = state.connected(Settings(home=tmp_path))
    assert found.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert found.redis.url is not None
    assert found.redis.url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert (found.serve.port, found.gateway.port) == (50099, 50098)


def test_set_addresses_win_over_the_running_stack(tmp_path: Path) -> None:
    state.write(tmp_path, RUNNING)
    mine = {"kafka": {"bootstrap_servers": "mine:1"}, "redis": {"url": "redis://mine"}}
    grpc = {"serve": {"port": 2}, "gateway": {"port": 3}}
    settings = Settings.model_validate({"home": tmp_path, **mine, **grpc})
    assert state.connected(settings) == settings


@pytest.mark.parametrize(
    "known",
    [StackState(), RUNNING.stopped(), replace(RUNNING, supervisor=replace(ME, start_time=ME.start_time - 60))],
    ids=["never started", "stopped", "killed"],
)
@pytest.mark.parametrize("need", ["kafka", "redis", "serve", "gateway"])
def test_no_running_stack_is_said_with_what_to_do(need: Address, known: StackState, tmp_path: Path) -> None:
    state.write(tmp_path, known)
    with pytest.raises(NotRunning) as raised:
        state.connected(Settings(home=tmp_path), needs=(need,))
    assert str(raised.value) == f"No stack is running in {tmp_path}; start one with `nightjar up`."


@pytest.mark.parametrize(
    ("need", "own"),
    [
        ("kafka", {"kafka": {"bootstrap_servers": "mine:1"}}),
        ("redis", {"redis": {"url": "redis://mine"}}),
        ("serve", {"serve": {"host": "rec.internal"}}),
        ("serve", {"serve": {"port": 50061}}),
        ("gateway", {"gateway": {"host": "rec.internal"}}),
    ],
)
def test_without_a_stack_the_one_server_that_is_needed_is_enough(
    need: Address, own: dict[str, object], tmp_path: Path
) -> None:
    """`NIGHTJAR_SERVE__HOST=rec.internal nightjar recommend 42` asks for no Kafka and no Redis."""
    settings = Settings.model_validate({"home": tmp_path, **own})
    assert state.connected(settings, needs=(need,)) == settings


def test_a_port_that_names_none_is_asked_of_the_stack(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path, "serve": {"port": 0}})
    with pytest.raises(NotRunning):
        state.connected(settings, needs=("serve",))
    state.write(tmp_path, RUNNING)
    assert state.connected(settings, needs=("serve",)).serve.port == 50099


def test_who_needs_no_server_gets_what_there_is(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert state.connected(settings) == settings
    state.write(tmp_path, replace(RUNNING, redis_url=None))
    found = state.connected(settings)
    assert (found.kafka.bootstrap_servers, found.redis.url) == ("127.0.0.1:9092", None)


def test_an_address_that_was_not_written_down_is_asked_for(tmp_path: Path) -> None:
    state.write(tmp_path, replace(RUNNING, redis_url=None))
    with pytest.raises(InvalidSettings, match="NIGHTJAR_REDIS__URL"):
        state.connected(Settings(home=tmp_path), needs=("redis",))


def test_the_ports_are_remembered_after_a_stop() -> None:
    assert RUNNING.stopped() == StackState(ports=RUNNING.ports)
