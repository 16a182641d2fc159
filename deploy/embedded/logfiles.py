"""The log file of each process of the stack: appended to, bounded, quoted when a start fails, followed by `up`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_LOG_BYTES = 10 * 2**20  # one older file is kept, so a process fills 20 MiB at most
TAIL_BYTES = 16_384


def open_for_append(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


def trim(path: Path, max_bytes: int = MAX_LOG_BYTES) -> bool:
    """Moves a log that has grown too long aside and says whether it did.

    The file is emptied, not renamed: its writer holds it open in append mode and goes on at the new end. Lines
    written within that moment may be lost.
    """
    try:
        if path.stat().st_size <= max_bytes:
            return False
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)
    except FileNotFoundError:
        return False
    return True


def last_lines(path: Path, count: int = 15) -> list[str]:
    """The end of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:]


class LogFollower:
    """Reads what was added to several logs since the last look, whole lines only."""

    def __init__(self) -> None:
        self._offsets: dict[tuple[str, Path], int] = {}

    def follow(self, name: str, path: Path) -> None:
        """Follows a log from its present end."""
        self._offsets[(name, path)] = path.stat().st_size if path.exists() else 0

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """(name, line) of every line completed since the last call."""
        for (name, path), offset in self._offsets.items():
            try:
                with path.open("rb") as file:
                    size_bytes = file.seek(0, os.SEEK_END)
                    start = offset if offset <= size_bytes else 0  # it was trimmed
                    file.seek(start)
                    added = file.read(size_bytes - start)
            except FileNotFoundError:
                continue
            whole = added[: added.rfind(b"\n") + 1]
            self._offsets[(name, path)] = start + len(whole)
            for line in whole.decode("utf-8", "replace").splitlines():
                yield name, line
