"""When an item may be shown: inside its window, whose begin counts and whose end does not, and never while hidden."""

import pytest

from services.domain.items import ALWAYS, Availability


@pytest.mark.parametrize(
    ("availability", "allowed"),
    [
        (ALWAYS, [True, True, True]),
        (Availability(hidden=True), [False, False, False]),
        (Availability(from_us=5), [False, True, True]),
        (Availability(until_us=5), [True, False, False]),
        (Availability(from_us=5, until_us=6), [False, True, False]),
        (Availability(hidden=True, from_us=5), [False, False, False]),
    ],
)
def test_a_moment_is_within_or_not(availability: Availability, allowed: list[bool]) -> None:
    assert [availability.allows(now_us) for now_us in (4, 5, 6)] == allowed
