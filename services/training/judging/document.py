"""What a comparison says, as JSON: short for whoever started the process, and whole in a file.

Figures of single users stand there by place and not by name, so that no file outlives an erasure with somebody in it.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from services.domain.errors import TrainingFailed
from services.training.judging.judge import Comparison, Contender

DIGITS: Final = 6  # of single users' figures; larger: a larger file; smaller: means of them are no longer those above


def short(comparison: Comparison) -> dict[str, Any]:
    """All that the gate reads."""
    champion = comparison.champion
    return {
        "figures": comparison.figures,
        "champion": None if champion is None else champion.published.version,
        "champion_problem": comparison.champion_problem,
        "champion_saw_holdout": comparison.champion_saw_holdout,
        "num_questions": comparison.num_questions,
    }


def whole(comparison: Comparison, data_version: int) -> dict[str, Any]:
    """With slices, the champion's own figures, and each user's."""
    versions = {version: _version(each) for version, each in comparison.challengers.items()}
    champion = comparison.champion
    if champion is not None:
        versions = {champion.published.version: _version(champion), **versions}
    return {**short(comparison), "data_version": data_version, "versions": versions}


def _version(judged: Contender) -> dict[str, Any]:
    manifest = judged.published.manifest
    return {
        "kind": manifest.kind,
        "data_version": manifest.data_version,
        "figures": judged.measurement.figures,
        "slices": [asdict(each) for each in judged.measurement.slices],
        "ndcg_at_10_by_user": [round(each, DIGITS) for each in judged.by_user.tolist()],
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """The whole file or none of it; raises TrainingFailed when it cannot be written."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(document, file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise TrainingFailed(
            f"The comparison cannot be written to {path}: {error}; make room, or name another."
        ) from error
