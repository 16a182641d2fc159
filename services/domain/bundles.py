"""The bundle: the one immutable folder that training hands to serving, and how it is verified.

Files: `tables.safetensors` (see `bundle_tables.py`), `vocabulary.json` (see `vocabulary.py`), `encoder.onnx` where the
kind needs one, and last `manifest.json`, with `manifest.sig` where bundles are signed. How a bundle turns a history
into scores follows from its kind, by `SCORING`; every table is in item-row order without the unused row 0, so row r of
the vocabulary is at index r - 1. Training may leave more beside them for the next training to start from, such as
`state.safetensors`, which no server reads.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, Self

from services.domain.errors import BundleBroken
from services.domain.ids import ModelVersion

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.sig"
"""Who vouches for the manifest; beside it, and named in none, since it may come later. See `bundle_signatures.py`."""
ENCODER: Final = "encoder.onnx"
TABLES: Final = "tables.safetensors"
VOCABULARY: Final = "vocabulary.json"
FORMAT: Final = 3  # 2: the vocabulary holds the thresholds of event types; 3: the encoder reads gaps


class Scoring(Enum):
    """How a bundle scores the items for a history. The formulas without a graph are those of `scoring.py`."""

    POPULAR = "popularity"
    """By `popularity` alone, the same for everybody."""
    ENCODED = "an encoder"
    """By the dot product of an item vector and the user vector that `encoder.onnx` gives.

    Inputs `items`, `event_types` and `gaps`, all int64 (batch, length), rows as in `history_input.HistoryRows`, no
    padding, 1 <= length <= max_history; output `user_vectors` float32 (batch, dim).
    """
    FOLDED_IN = "folding in"
    """By the dot product of an item vector and the user vector x that least squares give: `scoring.FoldIn`.

    (H' diag(c) H + unobserved gram + ridge I) x = H' c, of the liked items' vectors H and weights c.
    """
    NEIGHBOURS = "neighbours"
    """By the weights with which an item is a neighbour of the liked ones, summed: `scoring.Neighbours`."""


SCORING: Final[Mapping[str, Scoring]] = {
    "popularity": Scoring.POPULAR,
    "sequence": Scoring.ENCODED,
    "ials": Scoring.FOLDED_IN,
    "item_knn": Scoring.NEIGHBOURS,
    "ease": Scoring.NEIGHBOURS,
    "gf_cf": Scoring.NEIGHBOURS,
}
"""By model kind: what this version can serve."""


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


def scoring_of(kind: str) -> Scoring:
    """Raises BundleBroken for a kind that this version cannot serve."""
    try:
        return SCORING[kind]
    except KeyError:
        raise BundleBroken(
            f"the model is of the kind {kind!r}, which this version cannot serve; it serves {', '.join(SCORING)}"
        ) from None


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_of(draft: Path) -> Mapping[str, str]:
    """The SHA-256 of every file that a bundle of this folder has, by name, in order; a manifest there is not one."""
    return {path.name: sha256_of(path) for path in sorted(draft.iterdir()) if path.name not in (MANIFEST, SIGNATURE)}


def is_version_name(name: str) -> bool:
    """Whether it can name a version where names are paths: one part, and nothing that is hidden."""
    return bool(name) and "/" not in name and "\0" not in name and not name.startswith(".")


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
