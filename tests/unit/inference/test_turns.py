"""Loads of one host come one after another, but none waits for ever."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from services.inference.turns import PATIENCE_S, POLL_S, in_turn


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "run" / "loading.lock"


class Pauses:
    """Notes how long is waited for; at the first, has `then` happen."""

    def __init__(self, then: AbstractAsyncContextManager[None] | None = None) -> None:
        self.said: list[float] = []
        self._then = then

    async def __call__(self, pause_s: float) -> None:
        self.said.append(pause_s)
        if self._then is not None:
            await self._then.__aexit__(None, None, None)


async def test_one_at_a_time(lock: Path) -> None:
    first = in_turn(lock)
    pauses = Pauses(then=first)
    await first.__aenter__()
    async with in_turn(lock, pauses):
        assert pauses.said == [POLL_S]
    async with in_turn(lock, pauses):
        assert pauses.said == [POLL_S], "who left is not waited for"


async def test_one_that_hangs_is_not_waited_for_beyond_patience(lock: Path) -> None:
    pauses = Pauses()
    async with in_turn(lock), in_turn(lock, pauses):
        assert sum(pauses.said) == pytest.approx(PATIENCE_S)


async def test_a_load_that_fails_makes_room(lock: Path) -> None:
    pauses = Pauses()
    with pytest.raises(ValueError, match="broken"):
        async with in_turn(lock):
            raise ValueError("broken")
    async with in_turn(lock, pauses):
        assert pauses.said == []


async def test_where_no_lock_can_be_made_loads_go_on(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    async with in_turn(tmp_path / "run" / "loading.lock"):
        pass
