"""A Ctrl-C is never lost, wherever it comes."""

import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator

import pytest

from services import interrupts
from tests.waiting import wait_until


class Thing:
    """Something that is collected."""


@pytest.fixture(autouse=True)
def armed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type]]:
    """What was only reported meanwhile."""
    reported: list[type] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: reported.append(unraisable.exc_type))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    interrupts.never_lost()
    yield reported
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_within_a_weak_references_callback_comes_again(armed: list[type]) -> None:
    """SQLAlchemy's pool has one for every connection."""
    assert threading.current_thread() is threading.main_thread()

    def collected(_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(100))  # a few steps in which a signal is handled

    thing = Thing()
    watch = weakref.ref(thing, collected)
    things = [thing]
    del thing
    with pytest.raises(KeyboardInterrupt):
        wait_until(things.clear, 5.0, "the interrupt")
    assert watch() is None
    assert armed == []


def test_any_other_error_there_is_reported_as_ever(armed: list[type]) -> None:
    def collected(_: object) -> None:
        raise ZeroDivisionError

    thing = Thing()
    watch = weakref.ref(thing, collected)
    del thing
    assert watch() is None
    assert armed == [ZeroDivisionError]
