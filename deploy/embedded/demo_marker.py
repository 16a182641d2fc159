"""Whose data a home holds: a marker file says that a demo made all of it, and may delete it for its next run."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

FILE: Final = "demo.json"


def write(home: Path) -> None:
    """Says that a demo made what is here; raises OSError."""
    (home / FILE).write_text(json.dumps({"start_time": datetime.now(UTC).isoformat()}), encoding="utf-8")


def is_set(home: Path) -> bool:
    return (home / FILE).is_file()


def remove(home: Path) -> None:
    """From now on the home is its user's: no demo deletes it. May be repeated; raises OSError."""
    (home / FILE).unlink(missing_ok=True)
