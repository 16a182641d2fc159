"""Object storage as bundles need it: whole objects, one that is written once, and errors that say what to check.

The library is obstore, whose core is the one that delta-rs stands on, so that log and bundles know the same options. It
repeats requests with back-off by itself; a download or an upload that breaks off in the middle is begun anew here.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import structlog

from services.domain.errors import BundleStoreDown, InvalidSettings, MissingDependency

ATTEMPTS: Final = 3  # larger: a worker is told late that the store is away; smaller: a break or two and it gives up
PATIENT_ATTEMPTS: Final = (
    12  # some 10 minutes; larger: a dead store is said late; smaller: its restart loses a training
)
FIRST_PAUSE_S: Final = 1.0  # then twice that; larger: slow after a hiccup; smaller: no relief for a busy store
LONGEST_PAUSE_S: Final = 60.0  # larger: slow to see that it is back; smaller: load while it starts
CHUNK_BYTES: Final = 4 * 2**20  # larger: memory; smaller: more steps through Python
FLAGS: Final = frozenset({"allow_http", "allow_invalid_certificates"})
CLIENT_OPTIONS: Final = FLAGS | {
    "connect_timeout",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "read_timeout",
    "root_certificate",
    "timeout",
    "user_agent",
}
"""Options of the connection, which the library takes apart from those of the store; delta-rs takes both as one."""
TIMEOUTS: Final = {
    "connect_timeout": "5s",  # larger: a dead address holds a worker up; smaller: a far one is not reached
    "read_timeout": "30s",  # without a byte; larger: a hung connection holds on; smaller: a busy store is given up
    "timeout": "1h",  # of one request with its body; the library's own 30 s would cut a large bundle off
}
RETRIES: Final[Any] = {
    "max_retries": 4,  # larger: a store that is away is said later; smaller: its restart fails a publish
    "retry_timeout": timedelta(seconds=20),
}

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    changed_time: datetime


class Bucket:
    """Objects under an address; keys are relative to it. All methods block, and raise BundleStoreDown."""

    def __init__(self, url: str, options: Mapping[str, str], pause: Callable[[float], object] = time.sleep) -> None:
        """Asks nothing yet. Raises InvalidSettings for an address or options that mean nothing, MissingDependency."""
        if find_spec("obstore") is None:
            raise MissingDependency("Bundles on object storage need a library: pip install 'nightjar-server[objects]'")
        import obstore

        self.url = url
        self._pause = pause
        self._attempts = ATTEMPTS
        self._library = obstore
        self._store = _opened(url, options)

    def patient(self) -> Self:
        """The same, for who has hours of work to lose when the store is away for minutes."""
        patient = copy(self)
        patient._attempts = PATIENT_ATTEMPTS
        return patient

    def get(self, key: str) -> bytes | None:
        """A small object; None when there is none."""
        try:
            return self._patiently(key, lambda: bytes(self._library.get(self._store, key).bytes()))
        except FileNotFoundError:
            return None

    def download(self, key: str, path: Path) -> str | None:
        """Writes an object into a new file and returns its SHA-256; None, and no file, when there is none.

        Raises OSError when the file cannot be written, and leaves none.
        """
        try:
            return self._patiently(key, lambda: self._streamed(key, path))
        except FileNotFoundError:
            return None

    def upload(self, key: str, path: Path) -> None:
        """Takes the place of an object that is there; in parts when the file is large, whole or not at all."""
        self._put(key, lambda: self._library.put(self._store, key, path))

    def put(self, key: str, content: bytes) -> None:
        """Takes the place of an object that is there."""
        self._put(key, lambda: self._library.put(self._store, key, content))

    def put_new(self, key: str, content: bytes) -> bool:
        """False, and nothing changed, when the object is there with another content, whoever was first."""
        from obstore.exceptions import AlreadyExistsError

        try:
            self._put(key, lambda: self._library.put(self._store, key, content, mode="create"))
        except AlreadyExistsError:
            return self.get(key) == content  # ours: the answer to the first attempt was lost
        return True

    def delete(self, keys: list[str]) -> None:
        """Deletes objects; those that are not there are none."""
        if keys:
            self._patiently(keys[0], lambda: self._library.delete(self._store, keys))

    def listed(self, prefix: str = "") -> Sequence[Listed]:
        """All objects under a folder, all without one, in no order."""

        def step() -> list[Listed]:
            pages = self._library.list(self._store, prefix or None, chunk_size=1_000)
            return [Listed(each["path"], each["last_modified"]) for page in pages for each in page]

        return self._patiently(prefix, step)

    def _put(self, key: str, step: Callable[[], object]) -> None:
        try:
            self._patiently(key, step)
        except FileNotFoundError as error:  # also what S3 says of a bucket that is not there
            raise self._down(key, error) from error

    def _streamed(self, key: str, path: Path) -> str:
        digest = hashlib.sha256()
        stream = self._library.get(self._store, key).stream(min_chunk_size=CHUNK_BYTES)
        try:
            with path.open("wb") as file:
                for chunk in stream:
                    digest.update(chunk)
                    file.write(chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return digest.hexdigest()

    def _patiently(self, key: str, step: Callable[[], T]) -> T:
        """Does a step that may be repeated; what cannot be mended by that is raised at once."""
        from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError

        for attempt in range(1, self._attempts + 1):
            try:
                return step()
            except AlreadyExistsError:
                raise
            except BaseError as error:
                if attempt == self._attempts or isinstance(error, PermissionDeniedError | UnauthenticatedError):
                    raise self._down(key, error) from None  # its text goes on for pages
                pause_s = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
                log.warning("bundle_store_failed", key=key, next_try_s=pause_s, error=_first_line(error))
                self._pause(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def _down(self, key: str, error: Exception) -> BundleStoreDown:
        return BundleStoreDown(
            f"The bundles at {self.url} cannot be reached for {key or 'a list'}; check bundles.url, bundles.options, "
            f"the credentials and the network: {_first_line(error)}"
        )


def _opened(url: str, options: Mapping[str, str]) -> Any:
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, from_url

    of_client: dict[str, Any] = dict(TIMEOUTS)
    of_store: Any = {}
    for name, value in options.items():
        plain = name.lower().removeprefix("aws_").removeprefix("azure_").removeprefix("google_")
        if plain in CLIENT_OPTIONS:
            of_client[plain] = value.lower() == "true" if plain in FLAGS else value
        else:
            of_store[name] = value
    try:
        if url.startswith("file://"):
            return LocalStore(Path(url.removeprefix("file://")), mkdir=True)
        return from_url(url, config=of_store, client_options=of_client, retry_config=RETRIES)  # type: ignore[call-overload]
    except (BaseError, ValueError, TypeError) as error:
        raise _unusable(error) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # what the library does of a rarer option of the connection
            raise
        raise _unusable(error) from None


def _unusable(error: BaseException) -> InvalidSettings:
    return InvalidSettings(f"bundles.url or bundles.options cannot be used: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0][:300]
