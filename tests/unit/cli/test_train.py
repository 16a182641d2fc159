"""When `nightjar train` asks the gate."""

import pytest

from services.cli.train import goes_to_the_gate


@pytest.mark.parametrize(
    ("promote", "as_of", "asks"),
    [
        (None, "", True),
        (None, "2026-01-31", False),
        (True, "2026-01-31", True),
        (True, "", True),
        (False, "", False),
        (False, "2026-01-31", False),
    ],
)
def test_a_model_of_the_past_goes_to_the_gate_only_when_asked(promote: bool | None, as_of: str, asks: bool) -> None:
    assert goes_to_the_gate(promote, as_of) is asks
