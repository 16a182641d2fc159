"""Which port a part gets."""

import socket
from collections.abc import Iterator

import pytest

from deploy.embedded.infrastructure import addresses
from deploy.embedded.ports import any_free, choose, is_free
from deploy.embedded.services import port_of
from services.domain.errors import PortInUse, StartFailed
from services.settings import GatewaySettings, KafkaSettings, RedisSettings, ServeSettings, Settings


@pytest.fixture
def busy_port() -> Iterator[int]:
    """A port that somebody listens on, willing to share it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_in_use_is_one_sentence_naming_the_setting(busy_port: int) -> None:
    with pytest.raises(PortInUse) as raised:
        choose("NIGHTJAR_SERVE__PORT", busy_port)
    assert str(raised.value) == (
        f"Port {busy_port} is in use by another program; set NIGHTJAR_SERVE__PORT to another one."
    )


@pytest.mark.parametrize(
    ("section", "setting"),
    [
        ({"serve": {"port": 0}}, "NIGHTJAR_SERVE__PORT"),
        ({"gateway": {"port": 0}}, "NIGHTJAR_GATEWAY__PORT"),
        ({"kafka": {"embedded_port": 0}}, "NIGHTJAR_KAFKA__EMBEDDED_PORT"),
        ({"redis": {"embedded_port": 0}}, "NIGHTJAR_REDIS__EMBEDDED_PORT"),
    ],
)
def test_each_set_port_is_checked_before_anything_starts(
    section: dict[str, dict[str, int]], setting: str, busy_port: int
) -> None:
    ((name, fields),) = section.items()
    ((field, _),) = fields.items()
    taken = {name: {field: busy_port}}
    settings = Settings.model_validate({"serve": {"port": 0}, "gateway": {"port": 0}, **taken})
    with pytest.raises(PortInUse, match=setting):
        addresses(settings, remembered={})


def test_the_remembered_port_is_taken_again_while_it_is_free(busy_port: int) -> None:
    remembered = any_free()
    assert choose("X", 0, remembered=remembered) == remembered
    assert choose("X", 0, remembered=busy_port) != busy_port
    assert choose("X", 0, remembered=remembered, taken=[remembered]) != remembered


def test_two_parts_may_not_be_set_to_one_port() -> None:
    port = any_free()
    settings = Settings(
        serve=ServeSettings(port=port),
        gateway=GatewaySettings(port=0),
        kafka=KafkaSettings(embedded_port=port),
        redis=RedisSettings(url=None),
    )
    with pytest.raises(PortInUse, match="NIGHTJAR_KAFKA__EMBEDDED_PORT"):
        addresses(settings, remembered={})


def test_parts_given_by_the_operator_get_no_port() -> None:
    settings = Settings.model_validate(
        {
            "serve": {"port": 0},
            "gateway": {"port": 0},
            "kafka": {"bootstrap_servers": "kafka:9092"},
            "redis": {"url": "redis://redis:6379"},
        }
    )
    filled, ports = addresses(settings, remembered={})
    assert set(ports) == {"inference", "gateway"}
    assert filled.kafka.bootstrap_servers == "kafka:9092"
    assert filled.redis.url is not None
    assert filled.redis.url.get_secret_value() == "redis://redis:6379"


def test_the_nights_are_served_where_a_port_is_set_and_the_chosen_one_is_shown() -> None:
    """0 becomes a free port, which `nightjar status` shows and a restart takes again."""
    sections = {"serve": {"port": 0}, "gateway": {"port": 0}, "redis": {"url": "redis://redis:6379"}}
    unset, ports = addresses(Settings.model_validate(sections), remembered={})
    assert (unset.schedule.port, "scheduler" in ports, port_of("scheduler", unset)) == (None, False, None)
    filled, ports = addresses(Settings.model_validate({**sections, "schedule": {"port": 0}}), remembered={})
    assert filled.schedule.port == ports["scheduler"] == port_of("scheduler", filled) != 0
    again, _ = addresses(Settings.model_validate({**sections, "schedule": {"port": 0}}), remembered=ports)
    assert again.schedule.port == ports["scheduler"]


def test_an_address_this_machine_lacks_is_named() -> None:
    with pytest.raises(StartFailed, match="NIGHTJAR_SERVE__HOST"):
        is_free(0, host="no-such-host.invalid")
