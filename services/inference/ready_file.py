"""The ready file: how whoever started the process learns that it listens, and on which port."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.domain.errors import StartFailed


class ReadyFile:
    """A file that is there exactly while the process is ready. Without a path, nobody asked for one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def prepare(self) -> None:
        """Makes its folder and removes what an earlier run left; raises StartFailed when the place won't do."""
        if self._path is not None:
            with _explained(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.unlink(missing_ok=True)

    def announce(self, port: int) -> None:
        """Writes {"port": N}, whole or not at all: a waiting reader opens it the moment it is there."""
        if self._path is not None:
            draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            with _explained(self._path):
                draft.write_text(json.dumps({"port": port}) + "\n", encoding="utf-8")
                draft.replace(self._path)

    def remove(self) -> None:
        """The process is ready no longer."""
        if self._path is not None:
            with _explained(self._path):
                self._path.unlink(missing_ok=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartFailed(f"The ready file {path} cannot be written ({error.strerror}); name another place.") from error
