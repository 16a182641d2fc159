"""The ready file: how whoever started a process learns that it is ready, and what it needs to know of it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import structlog

from services.domain.errors import StartFailed

log = structlog.get_logger(__name__)


class ReadyFile:
    """A file that is there exactly while the process is ready; used in a `with`. Without a path nobody asked for one.

    Raises StartFailed when the place won't do: at the start when it can be known then, else when ready.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def __enter__(self) -> Self:
        """Makes its folder and removes what an earlier run left."""
        if self._path is not None:
            with _explained(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """The process is ready no longer."""
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:  # the process ends either way, and what it ends with matters more
                log.warning("ready_file_left", path=str(self._path), why=error.strerror)

    def announce(self, **facts: Any) -> None:
        """Writes the facts as JSON, whole or not at all: a waiting reader opens the file the moment it is there."""
        log.info("process_ready", **facts)
        if self._path is not None:
            draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            with _explained(self._path):
                draft.write_text(json.dumps(facts) + "\n", encoding="utf-8")
                draft.replace(self._path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StartFailed(f"The ready file {path} cannot be written ({error.strerror}); name another place.") from error
