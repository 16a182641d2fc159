"""The bundles that this host fetched last, shared by all processes of a home: each folder is whole, or it is hidden.

Folders are locks (flock, which a dying process lets go of): whoever fills one has its hidden draft alone, so that
workers that want the same version wait for one download; whoever uses one shares it, so that nobody clears it away.
"""

import fcntl
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

import structlog

from services.domain.errors import BundleBroken

DRAFT_PREFIX: Final = ".draft-"
GONE_PREFIX: Final = ".gone-"
FILES: Final = "files"
ABANDONED_AFTER_S: Final = (
    86_400.0  # larger: half downloads of versions that nobody wants stay; smaller: one is begun anew
)
MAX_HELD: Final = 4  # larger: what no slot holds any longer stays on disk; smaller: one of its three or a load goes

log = structlog.get_logger(__name__)

Step = Callable[[Path], object]


class BundleCache:
    """Safe for several threads and processes. Keeps the versions used last, and those that processes hold."""

    def __init__(self, folder: Path, keep: int) -> None:
        """keep: versions beside those in use."""
        self._folder = folder
        self._keep = keep
        self._held: OrderedDict[str, int] = OrderedDict()  # version: the descriptor that shares its folder
        self._holding = threading.Lock()

    def fetch(self, version: str, fill: Step, check: Step) -> Path:
        """The folder of a version, in use from now on; blocks while another process fills it.

        fill: puts all files into a folder, of which it may keep what an attempt before it left, and leaves it whole.
        check: raises BundleBroken for a folder that is not, which is then filled anew. What fill raises is raised.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / version
        while True:
            lock = self._checked(path, check)
            if lock is None:
                lock = self._filled(path, fill, check)
            if lock is not None:
                self._hold(version, lock)
                with suppress(FileNotFoundError):
                    os.utime(path)  # the one used last
                self._clear()
                return path

    def close(self) -> None:
        """Lets go of what is held, as the end of the process does."""
        with self._holding:
            given_up, self._held = list(self._held.values()), OrderedDict()
        for each in given_up:
            os.close(each)

    def _checked(self, path: Path, check: Step) -> int | None:
        """A share in the folder; None when there is none, or a broken one."""
        lock = _locked(path, fcntl.LOCK_SH)
        if lock is None:
            return None
        try:
            check(path)
        except (BundleBroken, FileNotFoundError) as error:  # the latter when another mends it just now
            log.warning("cached_bundle_refused", path=str(path), error=str(error))
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _filled(self, path: Path, fill: Step, check: Step) -> int | None:
        """As above; None when it was cleared away again, or the lock of the draft was."""
        draft = _draft_of(path)
        lock = _draft_lock(draft, fcntl.LOCK_EX)
        if lock is None:
            return None
        try:
            share = self._checked(path, check)  # somebody else may have filled it meanwhile
            if share is None:
                self._remove(path)
                (draft / FILES).mkdir(exist_ok=True)
                fill(draft / FILES)
                (draft / FILES).rename(path)  # not the draft itself: whoever waits for its lock must get it
                share = _locked(path, fcntl.LOCK_SH)
            self._remove(draft)
            return share
        finally:
            os.close(lock)

    def _hold(self, version: str, lock: int) -> None:
        with self._holding:
            given_up = [self._held.pop(version)] if version in self._held else []
            self._held[version] = lock
            while len(self._held) > MAX_HELD:
                given_up.append(self._held.popitem(last=False)[1])
        for each in given_up:
            os.close(each)

    def _clear(self) -> None:
        """Clears away what is beyond the bound and in nobody's use, and what crashes left."""
        versions = [path for path in self._folder.iterdir() if not path.name.startswith(".")]
        for path in sorted(versions, key=_used_time, reverse=True)[self._keep :]:
            self._remove_unused(path)
        for path in self._folder.glob(f"{DRAFT_PREFIX}*"):
            if time.time() - _used_time(path) > ABANDONED_AFTER_S:
                self._remove_abandoned(path)
        for path in self._folder.glob(f"{GONE_PREFIX}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _remove_unused(self, path: Path) -> None:
        """Alone with its draft, since a version must change in one hand only."""
        draft = _draft_of(path)
        alone = _draft_lock(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if alone is None:
            return
        lock = _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is not None:
            self._remove(path)
            os.close(lock)
        self._remove(draft)
        os.close(alone)

    def _remove_abandoned(self, draft: Path) -> None:
        lock = _locked(draft, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if lock is not None:
            self._remove(draft)
            os.close(lock)

    def _remove(self, path: Path) -> None:
        """Out of sight in one step, so that nobody finds half of it."""
        gone = self._folder / f"{GONE_PREFIX}{uuid4().hex}"
        with suppress(FileNotFoundError):
            path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _draft_of(path: Path) -> Path:
    return path.with_name(f"{DRAFT_PREFIX}{path.name}")


def _draft_lock(draft: Path, how: int) -> int | None:
    with suppress(FileExistsError):  # mkdir's own exist_ok looks a second time, when it may be gone
        draft.mkdir()
    return _locked(draft, how)


def _locked(path: Path, how: int) -> int | None:
    """The descriptor that locks the folder at a path; None when there is none, or it is taken and LOCK_NB was asked."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, how)
        if _is_at(path, lock):
            return lock
    except BlockingIOError:
        pass
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def _is_at(path: Path, lock: int) -> bool:
    """False for a folder that was renamed or removed while its lock was waited for."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False


def _used_time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
