"""A champion that is gone or broken is none; a store that is away is no reason to go without one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.adapters.bundle_folder import FolderBundleStore
from services.domain.bundles import TABLES, VOCABULARY
from services.domain.errors import BundleBroken, CatalogDown, UnknownVersion
from services.domain.history_input import HistoryRows
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.training.judging.named import champion_of, published
from tests.fakes.model_registry import FakeModelRegistry, model
from tests.fakes.tiny_bundle import KINDS, item_vectors, seal, write_draft

OLD = ModelVersion("old")


class Shelf:
    """One registered version of six items, and its bundle in a folder that a test may spoil."""

    def __init__(self, folder: Path, kind: str = "sequence") -> None:
        self.registry, self.bundles = FakeModelRegistry(), FolderBundleStore(folder / "bundles")
        manifest = write_draft(folder / "draft", "old", vectors=item_vectors(1), kind=kind)
        self.registry.register(replace(model("old"), location=self.bundles.publish(folder / "draft", manifest)))
        self.manifest, self.folder = manifest, folder / "bundles" / "old"

    def write(self, name: str, content: bytes, *, sealed: bool = False) -> None:
        """sealed: with a sum that holds, as a broken writer would leave it."""
        for path in self.folder.iterdir():
            path.chmod(0o644)
        (self.folder / name).write_bytes(content)
        if sealed:
            seal(self.folder, self.manifest)


def _truncated(shelf: Shelf) -> None:
    shelf.write(TABLES, (shelf.folder / TABLES).read_bytes()[:-8])


def _gone(shelf: Shelf) -> None:
    shutil.rmtree(shelf.folder)


def _of_another_kind(shelf: Shelf) -> None:
    seal(shelf.folder, replace(shelf.manifest, kind="ials"))


SPOILS: dict[str, Callable[[Shelf], None]] = {
    "truncated": _truncated,
    "gone": _gone,
    "no tables": lambda shelf: shelf.write(TABLES, b"nothing of the kind", sealed=True),
    "no words": lambda shelf: shelf.write(VOCABULARY, b"\xff", sealed=True),
    "no graph": lambda shelf: shelf.write("encoder.onnx", b"\x08", sealed=True),
    "another kind": _of_another_kind,
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_a_champion_whose_bundle_is_broken_or_gone_is_none(tmp_path: Path, spoil: Callable[[Shelf], None]) -> None:
    shelf = Shelf(tmp_path)
    for path in shelf.folder.iterdir():
        path.chmod(0o644)
    spoil(shelf)
    champion, problem = champion_of(shelf.registry, shelf.bundles, OLD)
    assert champion is None
    assert problem.startswith("old cannot be read: ")
    with pytest.raises(BundleBroken):
        published(shelf.registry, shelf.bundles, OLD)


def test_a_version_that_nobody_registered_is_no_champion_and_an_error_as_a_challenger(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    champion, problem = champion_of(shelf.registry, shelf.bundles, ModelVersion("never"))
    assert champion is None
    assert "'never'" in problem
    with pytest.raises(UnknownVersion):
        published(shelf.registry, shelf.bundles, ModelVersion("never"))
    assert champion_of(shelf.registry, shelf.bundles, None) == (None, "")


class Away(FakeModelRegistry):
    def get(self, version: ModelVersion) -> Model:
        raise CatalogDown("away")


def test_a_database_that_is_away_is_no_reason_to_compare_with_nobody(tmp_path: Path) -> None:
    with pytest.raises(CatalogDown):
        champion_of(Away(), Shelf(tmp_path).bundles, OLD)


def rows(*items: int) -> HistoryRows:
    ones = np.ones(len(items), np.int64)
    return HistoryRows(np.array(items, np.int64), ones, ones)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_answers_many_histories_as_it_does_each(tmp_path: Path, kind: str) -> None:
    """Of any length, in any order: those of one length go through the graph together."""
    shelf = Shelf(tmp_path, kind)
    champion, problem = champion_of(shelf.registry, shelf.bundles, OLD)
    assert champion is not None, problem
    histories = [rows(1, 2), rows(3), rows(6, 5, 4), rows(2), rows(5, 1)]
    together = champion.served.score(histories)
    assert together.shape == (5, 6)
    for line, history in zip(together, histories, strict=True):
        assert np.allclose(line, champion.served.score([history])[0], atol=1e-6)
    assert champion.served.popularity.tolist() == [6, 5, 4, 3, 2, 1]
    assert len(champion.served.item_vectors) == 6
