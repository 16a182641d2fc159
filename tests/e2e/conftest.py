"""What the end-to-end tests share."""

import socket
from collections.abc import Iterator

import pytest

from tests.e2e.command import Nightjar


@pytest.fixture(scope="module")
def nightjar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nightjar]:
    """One home for the tests of a module, in the order they are written."""
    command = Nightjar(tmp_path_factory.mktemp("e2e") / "home")
    yield command
    command.end()


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])
