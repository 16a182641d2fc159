from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper
from safetensors.numpy import load_file, save_file

from services.domain.bundles import ENCODER, MANIFEST, TABLES, VOCABULARY, Manifest
from services.domain.errors import BundleBroken
from services.domain.event_types import Role
from services.domain.ids import EventId, ItemId
from services.domain.interactions import HistoryEntry
from services.domain.vocabulary import InputType, Vocabulary
from services.inference.excluded import NOTHING
from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import EVENT_TYPES, KINDS, mean_encoder, seal, tamper, write_bundle
from tests.unit.inference.conftest import VECTORS


def test_a_history_becomes_rows_of_this_models_vocabulary(model: ServingModel) -> None:
    item_rows, event_type_rows, _ = model.history_rows(history_of("item-4", "gone", "item-2", kind="rating").entries)
    assert item_rows.tolist() == [4, 2]
    assert event_type_rows.tolist() == [2, 2]


def test_a_value_is_judged_by_the_thresholds_that_lie_in_the_bundle(tmp_path: Path) -> None:
    """Law 8: what the model was trained with, whatever the settings say today."""
    folder = tmp_path / "v1"
    manifest = write_bundle(folder, "v1", vectors=VECTORS)
    item_ids = tuple(ItemId(f"item-{row}") for row in range(1, 7))
    words = Vocabulary(item_ids, (InputType("rating", Role.POSITIVE, positive_from=8.0),))
    (folder / VOCABULARY).write_text(words.to_json())
    seal(folder, manifest)
    entries = [
        HistoryEntry(number, EventId(f"event-{number}"), ItemId("item-2"), "rating", value)
        for number, value in enumerate([8.0, 7.9, None])
    ]
    event_type_rows = load_serving_model(folder).history_rows(entries).types
    assert [words.event_type_labels[row - 1] for row in event_type_rows] == ["rating+", "rating", "rating+"]


def test_a_popularity_bundle_loads_without_an_encoder(tmp_path: Path) -> None:
    write_bundle(tmp_path / "p1", "p1", vectors=VECTORS, kind="popularity")
    assert not (tmp_path / "p1" / ENCODER).exists()
    model = load_serving_model(tmp_path / "p1")
    assert model.index.popular(2, NOTHING)[0].tolist() == [1, 2]
    assert not model.scorer.knows(model.history_rows(history_of("item-1").entries))
    assert model.scorer.similar(1, 2, NOTHING)[0].tolist() == []


def arrays_in(thing: object, seen: set[int]) -> Iterator[npt.NDArray[np.generic]]:
    """Every array that a model holds, however deep."""
    if id(thing) in seen or isinstance(thing, str | int | float | type | None):
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing
        return
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    for part in [*getattr(thing, "__dict__", {}).values(), *(getattr(thing, name, None) for name in slots)]:
        yield from arrays_in(part, seen)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_cannot_be_changed(tmp_path: Path, kind: str) -> None:
    """Law 2: serving never changes a parameter, not even by accident."""
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS, kind=kind)
    model = load_serving_model(tmp_path / "v1")
    arrays = list(arrays_in(model, set()))
    assert len(arrays) >= 4
    assert not any(array.flags.writeable for array in arrays)
    with pytest.raises(AttributeError):
        model.scorer = None  # type: ignore[misc, assignment]


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_has_its_id_maps(tmp_path: Path, kind: str) -> None:
    """The first request after a swap must not build them: of a million items that stops the worker for a second."""
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS, kind=kind)
    assert {"item_rows", "event_type_rows"} <= vars(load_serving_model(tmp_path / "v1").vocabulary).keys()


def without_tables(folder: Path, manifest: Manifest) -> None:
    (folder / TABLES).unlink()


def without_vocabulary(folder: Path, manifest: Manifest) -> None:
    (folder / VOCABULARY).unlink()


def without_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).unlink()


def without_a_sum_for_the_encoder(folder: Path, manifest: Manifest) -> None:
    tamper(folder, sha256={name: value for name, value in manifest.sha256.items() if name != ENCODER})


def with_text_for_an_encoder(folder: Path, manifest: Manifest) -> None:
    (folder / ENCODER).write_text("no graph")
    seal(folder, manifest)


def with_text_for_tables(folder: Path, manifest: Manifest) -> None:
    (folder / TABLES).write_text("no tables")
    seal(folder, manifest)


def with_an_encoder_of_other_dimension(folder: Path, manifest: Manifest) -> None:
    onnx.save(mean_encoder(np.ones((6, 3), dtype=np.float32)), folder / ENCODER)
    seal(folder, manifest)


def with_an_encoder_that_gives_nan(folder: Path, manifest: Manifest) -> None:
    onnx.save(mean_encoder(np.full_like(VECTORS, np.nan)), folder / ENCODER)
    seal(folder, manifest)


def with_an_encoder_of_other_names(folder: Path, manifest: Manifest) -> None:
    graph = mean_encoder(VECTORS)
    graph.graph.node.append(helper.make_node("Identity", ["user_vectors"], ["users"]))
    graph.graph.output[0].name = "users"
    onnx.save(graph, folder / ENCODER)
    seal(folder, manifest)


def with_an_encoder_that_lacks_the_last_item(folder: Path, manifest: Manifest) -> None:
    onnx.save(mean_encoder(VECTORS[:-1]), folder / ENCODER)
    seal(folder, manifest)


def with_an_encoder_that_lacks_the_last_event_type(folder: Path, manifest: Manifest) -> None:
    item_ids = tuple(ItemId(f"item-{row}") for row in range(1, 7))
    event_types = (*EVENT_TYPES, InputType("purchase", Role.POSITIVE))
    (folder / VOCABULARY).write_text(Vocabulary(item_ids, event_types).to_json())
    seal(folder, manifest)


def with_fewer_vectors_than_announced(folder: Path, manifest: Manifest) -> None:
    save_file({"item_vectors": VECTORS[:5], "popularity": np.ones(5, dtype=np.float32)}, folder / TABLES)
    seal(folder, manifest)


def without_popularity(folder: Path, manifest: Manifest) -> None:
    tables = load_file(folder / TABLES)
    save_file({"item_vectors": tables["item_vectors"]}, folder / TABLES)
    seal(folder, manifest)


def with_a_vocabulary_of_other_length(folder: Path, manifest: Manifest) -> None:
    (folder / VOCABULARY).write_text(Vocabulary((ItemId("item-1"),), EVENT_TYPES).to_json())
    seal(folder, manifest)


def of_another_format(folder: Path, manifest: Manifest) -> None:
    seal(folder, replace(manifest, format=99))


@pytest.mark.parametrize(
    "damage",
    [
        without_tables,
        without_vocabulary,
        without_manifest,
        without_a_sum_for_the_encoder,
        with_text_for_an_encoder,
        with_text_for_tables,
        with_an_encoder_of_other_dimension,
        with_an_encoder_that_gives_nan,
        with_an_encoder_of_other_names,
        with_an_encoder_that_lacks_the_last_item,
        with_an_encoder_that_lacks_the_last_event_type,
        with_fewer_vectors_than_announced,
        without_popularity,
        with_a_vocabulary_of_other_length,
        of_another_format,
    ],
)
def test_a_broken_bundle_is_refused_before_it_serves(tmp_path: Path, damage: Callable[[Path, Manifest], None]) -> None:
    folder = tmp_path / "bundle"
    damage(folder, write_bundle(folder, "v1", vectors=VECTORS))
    with pytest.raises(BundleBroken):
        load_serving_model(folder)
