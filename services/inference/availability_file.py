"""The availability of items as a worker of this host read it last, for one that starts without the database."""

import json
from collections.abc import Iterator
from pathlib import Path

import structlog

from services.domain.ids import ItemId
from services.domain.items import Availability
from services.inference.availability import Snapshot
from services.inference.remembered import exclusively, replace_file

log = structlog.get_logger(__name__)


class AvailabilityFile:
    """A line for the version, then one for each restricted item: about 40 bytes and its id."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def remember(self, snapshot: Snapshot) -> None:
        """Replaces the file in one step, unless it holds this version; blocks. Raises OSError.

        Every worker writes each version it came to, so a slow one that writes over a newer version mends that itself.
        """
        with exclusively(self._path):
            if self._version() != snapshot.version:
                replace_file(self._path, _lines(snapshot))

    def recall(self) -> Snapshot | None:
        """What was remembered; None when nothing was, or nothing that can be read, which the log then says."""
        try:
            with self._path.open(encoding="utf-8") as file:
                version = json.loads(next(file))["version"]
                rows = map(json.loads, file)
                return Snapshot(int(version), {ItemId(row[0]): Availability(*row[1:]) for row in rows})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, StopIteration) as error:
            log.warning("availability_file_unreadable", path=str(self._path), error=repr(error))
            return None

    def _version(self) -> int | None:
        try:
            with self._path.open(encoding="utf-8") as file:
                return int(json.loads(next(file))["version"])
        except (OSError, ValueError, TypeError, KeyError, StopIteration):
            return None


def _lines(snapshot: Snapshot) -> Iterator[str]:
    yield json.dumps({"version": snapshot.version})
    for item_id, each in snapshot.restricted.items():
        yield json.dumps([item_id, each.hidden, each.from_us, each.until_us], ensure_ascii=False)
