"""A Redis for tests that look at all it holds."""

from collections.abc import Callable

import pytest

from tests.redis_state import client_of


@pytest.fixture
def empty_redis(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Address of a Redis by its fixture's name, emptied: the reader reads every shard there is."""

    def emptied(name: str) -> str:
        url = str(request.getfixturevalue(name))
        if name == "redis_url":
            url = url.removesuffix("/0") + "/7"
        with client_of(url) as client:
            client.flushdb()
        return url

    return emptied
