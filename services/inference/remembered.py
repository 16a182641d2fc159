"""Small files that a worker reads when it starts without the database: a memory, not an authority.

They are shared by all workers of a home.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """Keeps other writers of the file out; blocks, and makes the folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # closing lets go
        yield


def replace_file(path: Path, lines: Iterable[str]) -> None:
    """Replaces the whole file in one step; blocks. Only for who is there `exclusively`. Raises OSError."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
