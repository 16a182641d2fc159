"""What the tests of a running server share."""

import pytest

from services.inference.rpc.engines import Engine


@pytest.fixture(params=["grpcio", "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn: whoever asks for it promises the same of both."""
    chosen: Engine = request.param
    return chosen
