"""What the online writer is told of the wishes to be forgotten: each of them, whenever the database answers."""

import threading
from collections.abc import Sequence

import pytest

from services.domain.errors import CatalogDown
from services.domain.ids import UserId
from services.domain.users import Erasure
from services.ingest.erased import ErasureFollower
from tests.fakes.clock import FakeClock
from tests.fakes.user_directory import FakeUserDirectory

ADA, BOB, CAROL = (Erasure(UserId(name), 5) for name in ("ada", "bob", "carol"))


class Directory(FakeUserDirectory):
    """Fails while `is_down`."""

    is_down = False

    def erasures(self) -> Sequence[Erasure]:
        """Asked for open wishes, the fake asks this too."""
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")
        return super().erasures()

    def wish_and_fulfil(self, wish: Erasure) -> None:
        self.request_erasures([wish])
        self.close_erasures([wish])


class Stage:
    def __init__(self) -> None:
        self.clock, self.directory = FakeClock(), Directory()
        self.follower = ErasureFollower(lambda: self.directory, self.clock)

    def found(self) -> list[Erasure]:
        self.follower.look()
        return list(self.follower.take())


def test_the_first_look_finds_closed_wishes_too_and_later_ones_those_still_open() -> None:
    stage = Stage()
    stage.directory.wish_and_fulfil(ADA)
    assert stage.found() == [ADA]
    stage.directory.wish_and_fulfil(BOB)
    stage.directory.request_erasures([CAROL])
    assert stage.found() == [CAROL]
    assert stage.follower.take() == []


def test_what_was_found_waits_until_it_is_taken() -> None:
    stage = Stage()
    for wish in (ADA, BOB):
        stage.directory.request_erasures([wish])
        stage.follower.look()
        stage.directory.close_erasures([wish])
    assert stage.follower.take() == [ADA, BOB]


def test_a_wish_that_was_closed_while_the_database_was_away_is_found() -> None:
    stage = Stage()
    stage.found()
    stage.directory.is_down = True
    with pytest.raises(CatalogDown):
        stage.follower.look()
    stage.directory.is_down = False
    stage.directory.wish_and_fulfil(ADA)
    assert stage.found() == [ADA]


def test_a_wish_that_was_closed_while_nobody_looked_is_found() -> None:
    """After a process was frozen, or its machine asleep, for longer than a wish is open at least."""
    stage = Stage()
    stage.found()
    stage.directory.wish_and_fulfil(ADA)
    stage.clock.advance(3_601)
    assert stage.found() == [ADA]


def test_a_directory_that_cannot_be_opened_is_tried_again() -> None:
    """Opening happens in the looking thread: neither imports nor a dead disk hold up the writer."""
    directory, opened = FakeUserDirectory(), iter([CatalogDown("no disk; the test said so")])

    def open_directory() -> FakeUserDirectory:
        for error in opened:
            raise error
        return directory

    directory.request_erasures([ADA])
    follower, stop = ErasureFollower(open_directory, FakeClock()), threading.Event()
    following = threading.Thread(target=follower.follow, args=(stop,))
    following.start()
    follower.wait_for_first_look()
    stop.set()
    following.join()
    assert follower.take() == [ADA]


def test_who_waits_for_the_first_look_waits_no_longer_than_the_process() -> None:
    stage, stop = Stage(), threading.Event()
    stage.directory.is_down = True
    stop.set()
    stage.follower.follow(stop)
    stage.follower.wait_for_first_look()
    assert stage.follower.take() == []
