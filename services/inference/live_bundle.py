"""Which bundle is live and where it lies; and the file that knows it while the database is away.

The file is a memory, not an authority: it is read by a worker that has no model and gets none by the registry.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog

from services.domain.ids import ModelVersion
from services.inference.remembered import exclusively, replace_file

log = structlog.get_logger(__name__)


class BundleAddress(Protocol):
    """Where the bundle of a version lies; a registered model is one, too."""

    @property
    def version(self) -> ModelVersion: ...
    @property
    def location(self) -> str: ...
    @property
    def digest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class LiveBundle:
    """An assignment and its bundle: all it takes to load the live model."""

    generation: int
    change_time: datetime
    version: ModelVersion
    location: str
    digest: str
    """SHA-256 of the manifest, hexadecimal, as registered."""

    @classmethod
    def of(cls, address: BundleAddress, generation: int, change_time: datetime) -> "LiveBundle":
        return cls(generation, change_time, address.version, address.location, address.digest)


class LiveBundleFile:
    """The newest bundle that served on this host: one small file, shared by all workers of a home."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def remember(self, bundle: LiveBundle) -> None:
        """Replaces the file in one step, unless it knows a newer assignment; blocks. Raises OSError.

        Newer is a higher generation, or a later change: a database made anew counts from 1 again.
        """
        with exclusively(self._path):  # a slow worker must not write over a quick one
            known = self.recall()
            if known and known.generation >= bundle.generation and known.change_time >= bundle.change_time:
                return
            document = asdict(bundle) | {"change_time": bundle.change_time.isoformat()}
            replace_file(self._path, [json.dumps(document)])

    def recall(self) -> LiveBundle | None:
        """What was remembered; None when nothing was, or nothing that can be read, which the log then says."""
        try:
            return _from_json(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("live_bundle_file_unreadable", path=str(self._path), error=repr(error))
            return None


def _from_json(text: str) -> LiveBundle:
    stored = json.loads(text)
    change_time = datetime.fromisoformat(stored["change_time"])
    if change_time.tzinfo is None:
        raise ValueError("change_time has no time zone")
    return LiveBundle(
        generation=int(stored["generation"]),
        change_time=change_time,
        version=ModelVersion(str(stored["version"])),
        location=str(stored["location"]),
        digest=str(stored["digest"]),
    )
