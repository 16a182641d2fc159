"""The bundle store on a folder: one subfolder a version, whole or not there at all.

Publishing copies into a hidden name beside the target, writes the manifest with the sums last, its signature beside it,
syncs, and renames: only the rename makes a version visible. A crash before it leaves a hidden folder that no reader
looks at, and that a later publish sweeps away.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import uuid4

from services.adapters.bundle_signatures import Signatures, Unsigned
from services.domain.bundles import MANIFEST, SIGNATURE, Manifest, is_version_name, sha256_of, sums_of, verify
from services.domain.errors import BundleBroken, BundleStoreDown
from services.domain.model_keeping import StoredBundle

DRAFT_PREFIX: Final = ".draft-"
ABANDONED_AFTER_S: Final = 86_400.0  # larger: leftovers of crashes stay; smaller: a slow copy is taken for one
STEPS: Final = ("copied", "sealed", "synced", "renamed")


class FolderBundleStore:
    """Fulfils BundleStore and BundleKeeper.

    A location is a version's name, so that the folder may be moved or mounted elsewhere.
    """

    def __init__(
        self,
        folder: Path,
        signatures: Signatures | None = None,
        after_step: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Without signatures nothing is signed or refused. after_step: told each of STEPS; a test crashes there."""
        self._folder = folder
        self._signatures: Signatures = Unsigned() if signatures is None else signatures
        self._after_step = after_step

    def publish(self, draft: Path, manifest: Manifest) -> str:
        """See BundleStore; blocks until everything is on the disk. The draft, plain files only, stays as it was."""
        target = self._path_of(manifest.model_version)
        if target.exists():
            raise _published_already(target)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        with self._hidden_folder() as hidden:
            for source in sorted(draft.iterdir()):
                if source.name not in (MANIFEST, SIGNATURE):
                    shutil.copyfile(source, hidden / source.name)
            self._after_step("copied")
            _seal(hidden, manifest, self._signatures)
            self._after_step("sealed")
            _sync(hidden)
            self._after_step("synced")
            try:
                hidden.rename(target)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):  # another process was first
                    raise _published_already(target) from error
                raise
            _sync_path(self._folder)
            self._after_step("renamed")
        return target.name

    def fetch(self, location: str) -> Path:
        """See BundleStore; the folder itself, since it is local."""
        path = self._verified(location)
        self._signatures.check(str(path), (path / MANIFEST).read_bytes(), signature_in(path))
        return path

    def sign(self, location: str, digest: str, *, dry_run: bool = False) -> bool:
        """Signs a published version anew, once its files are verified; False when there is no key to sign with.

        digest: of the manifest, as registered. Raises BundleBroken when that, or any sum, is another. dry_run: writes
        nothing.
        """
        path = self._verified(location)
        if sha256_of(path / MANIFEST) != digest:
            raise BundleBroken(f"the manifest in {path} is not the one registered as {location}")
        signature = self._signatures.sign((path / MANIFEST).read_bytes())
        if signature is None or dry_run:
            return signature is not None
        with self._hidden_folder() as hidden:
            (hidden / SIGNATURE).write_bytes(signature)
            (hidden / SIGNATURE).chmod(0o444)
            _sync(hidden)
            (hidden / SIGNATURE).replace(path / SIGNATURE)
            _sync_path(path)
        return True

    def stored(self) -> Sequence[StoredBundle]:
        """See BundleKeeper; of a folder without a manifest it knows nothing."""
        try:
            seen = [path / MANIFEST for path in self._folder.glob("[!.]*") if (path / MANIFEST).is_file()]
            return [StoredBundle(each.parent.name, _changed_time(each)) for each in seen]
        except OSError as error:
            raise _unusable(self._folder, error) from error

    def delete(self, location: str) -> None:
        """See BundleKeeper; whoever has its files open goes on reading them."""
        if not is_version_name(location):
            raise BundleBroken(f"{location!r} cannot be the name of a version's folder")
        hidden = self._folder / f"{DRAFT_PREFIX}{uuid4().hex}"  # a crash here leaves it to the next publish
        try:
            (self._folder / location).rename(hidden)
            _sync_path(self._folder)
            shutil.rmtree(hidden)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unusable(self._folder, error) from error

    def _verified(self, location: str) -> Path:
        try:
            path = self._path_of(location)
        except ValueError as error:
            raise BundleBroken(str(error)) from error
        manifest = verify(path)
        if manifest.model_version != location:
            raise BundleBroken(f"{path} holds version {manifest.model_version}")
        return path

    def _path_of(self, name: str) -> Path:
        if not is_version_name(name):
            raise ValueError(f"{name!r} cannot be the name of a version's folder")
        return self._folder / name

    @contextmanager
    def _hidden_folder(self) -> Iterator[Path]:
        hidden = self._folder / f"{DRAFT_PREFIX}{uuid4().hex}"
        hidden.mkdir()
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)  # there is nothing left of it once it was renamed

    def _sweep(self) -> None:
        for left in self._folder.glob(f"{DRAFT_PREFIX}*"):
            if time.time() - left.stat().st_mtime > ABANDONED_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)


def signature_in(folder: Path) -> bytes | None:
    """What is written beside the manifest; None without. Raises OSError."""
    try:
        return (folder / SIGNATURE).read_bytes()
    except FileNotFoundError:
        return None


def _seal(folder: Path, manifest: Manifest, signatures: Signatures) -> None:
    """Writes the manifest with the sums of all files, signed, and takes away the right to write them."""
    sealed = replace(manifest, sha256=sums_of(folder)).to_json().encode()
    (folder / MANIFEST).write_bytes(sealed)
    signature = signatures.sign(sealed)
    if signature is not None:
        (folder / SIGNATURE).write_bytes(signature)
    for path in folder.iterdir():
        path.chmod(0o444)


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        _sync_path(path)
    _sync_path(folder)


def _sync_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _changed_time(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _unusable(folder: Path, error: OSError) -> BundleStoreDown:
    return BundleStoreDown(
        f"The bundles in {folder} cannot be listed or deleted; check who owns them: {error.strerror}"
    )


def _published_already(target: Path) -> FileExistsError:
    return FileExistsError(f"{target} is published already, and what is published never changes")
