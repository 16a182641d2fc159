"""The report of an import: every row that was skipped, one JSON object a line."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from services.domain.errors import InvalidRequest

BadRow: TypeAlias = tuple[int, str, str]
"""Row of the file counted from 0, reason, detail."""

_KEYS: Final = {"row", "reason", "detail"}
_START: Final = b'{"row": '  # of every line


class BadRowReport:
    """A file beside the import; exactly one line a bad row, however often the import was interrupted.

    Lines are stored before the log commits their rows, so after a crash there may be lines of rows that were not
    committed. They are cut off when the import goes on, which judges those rows again. Methods raise InvalidRequest
    for a path that cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, first_row: int) -> None:
        """Keeps only the lines of rows before `first_row`, counted from 0.

        Raises InvalidRequest, and changes nothing, when the file is anything else than such a report.
        """
        if not self.path.exists():
            return
        keep_bytes, keeping = 0, True
        with self._told(), self.path.open("rb") as lines:
            for line in lines:
                row = self._row_in(line)
                keeping = keeping and row is not None and row <= first_row
                keep_bytes += len(line) if keeping else 0
        with self._told():
            os.truncate(self.path, keep_bytes)

    def write(self, rows: Iterable[BadRow]) -> None:
        """Appends them and blocks until they are stored. In the file rows count from 1."""
        lines = "".join(
            json.dumps({"row": row + 1, "reason": reason, "detail": detail}, ensure_ascii=False) + "\n"
            for row, reason, detail in rows
        )
        if not lines:
            return
        with self._told(), self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())

    def _row_in(self, line: bytes) -> int | None:
        """From 1; None for the half line that a crash leaves at the end."""
        if not line.endswith(b"\n") and line[: len(_START)] == _START[: len(line)]:
            return None
        try:
            parsed = json.loads(line)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict) or parsed.keys() != _KEYS or type(parsed["row"]) is not int:
            raise InvalidRequest(
                "--bad-rows", f"{str(self.path)!r} is there and no report of bad rows; name another file, or remove it"
            )
        return parsed["row"]

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidRequest("--bad-rows", f"{str(self.path)!r} cannot be written: {error}") from error
