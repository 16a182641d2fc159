"""Bundles of every kind made on the spot, small enough to work out by hand.

The user vector of an encoder is the mean of the history's items.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from services.domain.bundles import ENCODER, MANIFEST, SCORING, TABLES, VOCABULARY, Manifest, Scoring, sha256_of
from services.domain.event_types import Role
from services.domain.ids import ItemId, ModelVersion
from services.domain.vocabulary import InputType, Vocabulary

Table: TypeAlias = npt.NDArray[Any]

KINDS = tuple(SCORING)
EVENT_TYPES = (InputType("view", Role.POSITIVE), InputType("rating", Role.POSITIVE))
FOLD_IN = np.array([0.5, 0.25, 1.0], np.float32)


def manifest_of(version: str, *, kind: str = "sequence", dim: int = 4, num_items: int = 6) -> Manifest:
    return Manifest(
        model_version=ModelVersion(version),
        kind=kind,
        created_time="2026-01-01T00:00:00+00:00",
        data_version=1,
        code_version="test",
        seed=0,
        dim=dim,
        num_items=num_items,
        max_history=5,
    )


def item_vectors(seed: int, num_items: int = 6, dim: int = 4) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(num_items, dim)).astype(np.float32)


def tables_of(kind: str, vectors: npt.NDArray[np.float32]) -> dict[str, Table]:
    """The tables of a model of these item vectors; neighbours are alike by the dot product of theirs."""
    num_items = len(vectors)
    tables: dict[str, Table] = {"popularity": np.arange(num_items, 0, -1, dtype=np.float32)}
    scoring = SCORING[kind]
    if scoring in (Scoring.FOLDED_IN, Scoring.NEIGHBOURS):
        tables["type_weights"] = np.ones(len(EVENT_TYPES) + 1, np.float32)
    if scoring in (Scoring.ENCODED, Scoring.FOLDED_IN):
        tables["item_vectors"] = vectors.copy()
    if scoring is Scoring.FOLDED_IN:
        tables["gram"] = 0.1 * vectors.T @ vectors
        tables["fold_in"] = FOLD_IN.copy()
    if scoring is Scoring.NEIGHBOURS:
        alike = vectors @ vectors.T  # (num_items, num_items)
        np.fill_diagonal(alike, 0)
        tables["neighbour_rows"] = np.tile(np.arange(1, num_items + 1, dtype=np.int32), (num_items, 1))
        tables["neighbour_weights"] = alike
    return tables


def write_draft(
    folder: Path,
    version: str,
    *,
    vectors: npt.NDArray[np.float32],
    kind: str = "sequence",
    tables: Mapping[str, Table] | None = None,
) -> Manifest:
    """Writes the files of items `item-1`, `item-2`, ..., popular in this order; the manifest has no sums yet.

    tables: instead of some of those of `tables_of`.
    """
    num_items = len(vectors)
    folder.mkdir(parents=True)
    written = {**tables_of(kind, vectors), **(tables or {})}
    write_tables(folder, written)
    item_ids = tuple(ItemId(f"item-{row}") for row in range(1, num_items + 1))
    (folder / VOCABULARY).write_text(Vocabulary(item_ids, EVENT_TYPES).to_json(), encoding="utf-8")
    if SCORING[kind] is Scoring.ENCODED:
        onnx.save(mean_encoder(vectors), folder / ENCODER)
    dim = vectors.shape[1] if "item_vectors" in written else 0
    return manifest_of(version, kind=kind, dim=dim, num_items=num_items)


def write_bundle(
    folder: Path,
    version: str,
    *,
    vectors: npt.NDArray[np.float32],
    kind: str = "sequence",
    tables: Mapping[str, Table] | None = None,
) -> Manifest:
    """Writes a whole bundle and returns its manifest; see write_draft."""
    return seal(folder, write_draft(folder, version, vectors=vectors, kind=kind, tables=tables))


def write_tables(folder: Path, tables: Mapping[str, Table]) -> None:
    """Writes these tables instead of those that are there; the manifest must be sealed anew."""
    save_file(dict(tables), folder / TABLES)


def seal(folder: Path, manifest: Manifest) -> Manifest:
    """Writes the manifest with the sums of the files that are there."""
    sums = {path.name: sha256_of(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    sealed = replace(manifest, sha256=sums)
    (folder / MANIFEST).write_text(sealed.to_json(), encoding="utf-8")
    return sealed


def tamper(folder: Path, **fields: object) -> None:
    """Changes fields of a written manifest."""
    stored = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    (folder / MANIFEST).write_text(json.dumps({**stored, **fields}), encoding="utf-8")


def mean_encoder(vectors: npt.NDArray[np.float32]) -> onnx.ModelProto:
    """user_vectors = mean over the history of item vectors; event types are read and change nothing, as do gaps."""
    dim = vectors.shape[1]
    of_items = np.vstack([np.zeros((1, dim), dtype=np.float32), vectors])
    of_types = np.zeros((len(EVENT_TYPES) + 1, dim), dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["of_items", "items"], ["item_part"]),
            helper.make_node("Gather", ["of_types", "event_types"], ["type_part"]),
            helper.make_node("Add", ["item_part", "type_part"], ["steps"]),
            helper.make_node("ReduceMean", ["steps", "axes"], ["user_vectors"], keepdims=0),
        ],
        "mean",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("items", "event_types", "gaps")
        ],
        [helper.make_tensor_value_info("user_vectors", TensorProto.FLOAT, ["batch", dim])],
        [
            numpy_helper.from_array(of_items, "of_items"),
            numpy_helper.from_array(of_types, "of_types"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "axes"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
