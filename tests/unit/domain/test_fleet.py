"""When the ready workers are enough to serve for all."""

import pytest

from services.domain.fleet import is_enough


@pytest.mark.parametrize(
    ("num_ready", "num_workers", "min_ready", "enough"),
    [
        (2, 4, 0.5, True), (1, 4, 0.5, False), (2, 3, 0.5, True), (1, 3, 0.5, False), (4, 4, 1.0, True),
        (3, 4, 1.0, False), (1, 100, 0.01, True), (0, 100, 0.01, False), (0, 0, 0.5, False), (3, 10, 0.3, True),
    ],
)  # fmt: skip
def test_a_share_of_the_workers_and_at_least_one(
    num_ready: int, num_workers: int, min_ready: float, enough: bool
) -> None:
    assert is_enough(num_ready, num_workers, min_ready) is enough
