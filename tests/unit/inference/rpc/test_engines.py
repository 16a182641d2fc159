"""The choice of an engine: what is asked for is there, or is said to be missing, and how to get it."""

import sys

import pytest

from services.domain.errors import MissingDependency
from services.inference.rpc import engines
from services.settings.serving import ServeSettings


def test_a_missing_engine_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygrpc_native", None)  # as if it were not installed
    engines.check("grpcio")
    with pytest.raises(MissingDependency, match=r"pip install 'nightjar-server\[native\]'"):
        engines.check("native")


def test_the_default_needs_nothing_more() -> None:
    assert ServeSettings().engine == "grpcio"
