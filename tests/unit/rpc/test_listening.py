import socket
from collections.abc import Iterator

import pytest

from services.domain.errors import InvalidSettings, PortInUse
from services.rpc.listening import grpc_address, reserve_port

HOST = "127.0.0.1"
SECTION = "NIGHTJAR_SERVE"


@pytest.fixture(params=[False, True], ids=["alone", "sharing"])
def foreign_server(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that is not ours; in one case it shares its port with whoever asks."""
    with socket.socket() as server:
        if request.param:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.bind((HOST, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_where_somebody_listens_is_refused_naming_the_setting(foreign_server: int) -> None:
    with pytest.raises(PortInUse, match="NIGHTJAR_SERVE__PORT"):
        reserve_port(HOST, foreign_server, SECTION)


def test_two_serving_processes_cannot_reserve_one_port() -> None:
    """Not even before their workers listen."""
    first, port = reserve_port(HOST, 0, SECTION)
    with first, pytest.raises(PortInUse):
        reserve_port(HOST, port, SECTION)


def test_port_zero_is_a_free_one_that_workers_can_join() -> None:
    reserved, port = reserve_port(HOST, 0, SECTION)
    with reserved, socket.socket() as one, socket.socket() as two:
        for worker in (one, two):
            worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            worker.bind((HOST, port))
            worker.listen()
    assert port > 0


def test_a_reservation_takes_no_connections() -> None:
    reserved, port = reserve_port(HOST, 0, SECTION)
    with reserved, pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, port), timeout=5)


def test_a_port_is_free_again_right_after_its_server_ended() -> None:
    """Connections that linger from the last run are no reason to refuse a start."""
    with socket.socket() as server:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):  # as gRPC's listeners have them
            server.setsockopt(socket.SOL_SOCKET, option, 1)
        server.bind((HOST, 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection((HOST, port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # closed here first, so this side is the one that lingers
            assert client.recv(1) == b""
    reserved, _ = reserve_port(HOST, port, SECTION)
    reserved.close()


def test_a_host_that_is_no_address_is_a_wrong_setting() -> None:
    with pytest.raises(InvalidSettings, match="NIGHTJAR_SERVE__HOST"):
        reserve_port("no such host", 0, SECTION)


def test_an_ipv6_host_is_written_in_brackets() -> None:
    assert (grpc_address("::1", 1), grpc_address(HOST, 2)) == ("[::1]:1", "127.0.0.1:2")
