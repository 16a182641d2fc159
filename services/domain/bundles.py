"""The bundle: the one immutable folder that training hands to serving, and how it is verified.

Files: `encoder.onnx` (inputs `items` and `event_types`, both int64 (batch, length), rows of the vocabulary, oldest
first, no padding, 1 <= length <= max_history; output `user_vectors` float32 (batch, dim)), `tables.safetensors`
(`item_vectors` float32 (num_items, dim), `popularity` float32 (num_items,), both in item-row order without the unused
row 0: row r of the vocabulary is at index r - 1; a score is the dot product of a user and an item vector),
`vocabulary.json` (see `vocabulary.py`), and last `manifest.json`.
A popularity bundle has no encoder, and its `dim` is 0: it ranks by `popularity` alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from services.domain.errors import BundleBroken
from services.domain.ids import ModelVersion

MANIFEST: Final = "manifest.json"
ENCODER: Final = "encoder.onnx"
TABLES: Final = "tables.safetensors"
VOCABULARY: Final = "vocabulary.json"
FORMAT: Final = 2  # 2: the vocabulary holds the thresholds of event types, and a row for each role


@dataclass(frozen=True)
class Manifest:
    """Everything needed to repeat the run, and the SHA-256 of every other file. Field values are JSON."""

    model_version: ModelVersion
    kind: str
    created_time: str
    data_version: int
    code_version: str
    seed: int
    dim: int
    num_items: int
    max_history: int
    configuration: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises BundleBroken when a field is missing, unknown, or of another format."""
        try:
            manifest = cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise BundleBroken(f"the manifest cannot be read: {error}") from error
        if manifest.format != FORMAT:
            raise BundleBroken(f"the manifest has format {manifest.format}; this version reads {FORMAT}; train again")
        return manifest


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest as it is, no sum compared; raises BundleBroken when there is none or it cannot be read."""
    try:
        return Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BundleBroken(f"{folder} holds no readable {MANIFEST}: {error}") from error


def verify(folder: Path) -> Manifest:
    """Reads the manifest and compares every file with its sum; raises BundleBroken naming the file at fault."""
    manifest = read_manifest(folder)
    for name, expected in manifest.sha256.items():
        path = folder / name
        if path.parent != folder or not path.is_file():
            raise BundleBroken(f"{folder} lacks the file {name!r} that its manifest names")
        if sha256_of(path) != expected:
            raise BundleBroken(f"{name} in {folder} does not match the sum in its manifest")
    return manifest
