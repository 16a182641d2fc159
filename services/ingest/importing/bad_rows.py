"""The report of an import: every row that was skipped, one JSON object a line."""

import json
import os
from collections.abc import Iterable
from pathlib import Path


class BadRowReport:
    """A file beside the import; exactly one line a bad row, however often the import was interrupted.

    Lines are stored before the log commits their rows, so after a crash there may be lines of rows that were not
    committed. They are cut off when the import goes on, which judges those rows again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def begin(self, first_row: int) -> None:
        """Keeps only the lines of rows before `first_row`, counted from 0."""
        if not self.path.exists():
            return
        keep_bytes = 0
        with self.path.open("rb") as lines:
            for line in lines:
                if not line.endswith(b"\n") or json.loads(line)["row"] > first_row:
                    break
                keep_bytes += len(line)
        os.truncate(self.path, keep_bytes)

    def write(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Appends (row from 0, reason, detail) and blocks until they are stored. In the file rows count from 1."""
        lines = "".join(
            json.dumps({"row": row + 1, "reason": reason, "detail": detail}, ensure_ascii=False) + "\n"
            for row, reason, detail in rows
        )
        if not lines:
            return
        with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())
