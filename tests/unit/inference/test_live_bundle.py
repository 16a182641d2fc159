from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.domain.ids import ModelVersion
from services.inference.live_bundle import LiveBundle, LiveBundleFile
from tests.fakes.clock import START
from tests.fakes.model_registry import model

SECOND = timedelta(seconds=1)
V1 = LiveBundle(7, START, ModelVersion("v1"), "somewhere/v1", "ab" * 32)
V2 = replace(V1, generation=8, change_time=START + SECOND, version=ModelVersion("v2"))


@pytest.fixture
def file(tmp_path: Path) -> LiveBundleFile:
    return LiveBundleFile(tmp_path / "run" / "live-model.json")


def test_an_assignment_is_live_where_its_version_was_registered() -> None:
    assert LiveBundle.of(model("v1"), 3, START) == LiveBundle(3, START, ModelVersion("v1"), "/bundles/v1", "0" * 64)


def test_at_first_nothing_is_known(file: LiveBundleFile) -> None:
    assert file.recall() is None


def test_what_is_remembered_is_recalled(file: LiveBundleFile) -> None:
    file.remember(V1)
    assert file.recall() == V1
    file.remember(V2)
    assert file.recall() == V2


def test_a_slow_worker_does_not_write_over_a_quick_one(file: LiveBundleFile) -> None:
    file.remember(V2)
    file.remember(V1)
    assert file.recall() == V2


def test_the_order_of_changes_counts_where_clocks_differ(file: LiveBundleFile) -> None:
    file.remember(V1)
    behind = replace(V2, change_time=START - SECOND)
    file.remember(behind)
    assert file.recall() == behind


def test_a_database_made_anew_counts_from_one_again(file: LiveBundleFile) -> None:
    file.remember(V1)
    anew = replace(V2, generation=1)
    file.remember(anew)
    assert file.recall() == anew


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"generation": 1, "change_time": "2026-01-01"}']
)
def test_a_broken_file_is_as_good_as_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "live-model.json"
    path.write_bytes(content)
    file = LiveBundleFile(path)
    assert file.recall() is None
    file.remember(V1)
    assert file.recall() == V1
