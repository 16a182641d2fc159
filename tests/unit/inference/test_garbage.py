"""What is set aside is looked at no more, and no waste is set aside with it."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from services.inference.garbage import set_aside


class Circle:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_waste_goes_first_and_what_is_in_use_is_walked_over_no_more() -> None:
    waste, kept = weakref.ref(Circle()), Circle()
    set_aside()
    assert waste() is None
    assert gc.get_freeze_count() > 0
    assert not any(each is kept for each in gc.get_objects())
