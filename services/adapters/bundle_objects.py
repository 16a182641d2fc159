"""The bundle store on object storage: a version is there when its manifest is, and that is written once.

Objects of a version: `VERSION/SUM/NAME` for each file, by its own SHA-256, `VERSION/SUM/manifest.sig` by that of the
manifest, and last `VERSION/manifest.json`. So two who publish the same version at once never write over one another,
and the one whose manifest is refused has changed nothing. What a crash leaves without a manifest nobody reads, and a
later publish sweeps it away.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog

from services.adapters.bundle_bucket import Bucket, Listed
from services.adapters.bundle_cache import BundleCache
from services.adapters.bundle_folder import signature_in
from services.adapters.bundle_signatures import Signatures, Unsigned
from services.domain.bundles import MANIFEST, SIGNATURE, Manifest, is_version_name, sha256_of, sums_of, verify
from services.domain.clock import SystemClock
from services.domain.errors import BundleBroken, BundleStoreDown
from services.domain.model_keeping import StoredBundle
from services.domain.ports import Clock

ABANDONED_AFTER: Final = timedelta(days=1)  # larger: leftovers of crashes stay; smaller: a slow upload is taken for one
STEPS: Final = ("uploaded", "signed", "sealed")
OURS: Final = re.compile(r"([^/]+)/[0-9a-f]{64}/[^/]+")
"""Keys that this store writes before the manifest; others under the same address are somebody else's, and stay."""

log = structlog.get_logger(__name__)


class ObjectBundleStore:
    """Fulfils BundleStore and BundleKeeper; also raises BundleStoreDown.

    A location is a version's name, under whatever address.
    """

    def __init__(
        self,
        bucket: Bucket,
        cache: BundleCache,
        signatures: Signatures | None = None,
        clock: Clock | None = None,
        after_step: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Without signatures nothing is signed or refused. after_step: told each of STEPS; a test crashes there."""
        self._bucket = bucket
        self._cache = cache
        self._signatures: Signatures = Unsigned() if signatures is None else signatures
        self._clock = SystemClock() if clock is None else clock
        self._after_step = after_step

    def publish(self, draft: Path, manifest: Manifest) -> str:
        """See BundleStore; blocks until everything is stored."""
        version = str(manifest.model_version)
        if not is_version_name(version):
            raise ValueError(f"{version!r} cannot be the name of a version")
        bucket = self._bucket.patient()
        if bucket.get(_manifest_key(version)) is not None:
            raise self._published_already(version)
        self._sweep()
        sums = sums_of(draft)
        sealed = replace(manifest, sha256=sums).to_json().encode()
        for name, digest in sums.items():
            bucket.upload(_file_key(version, digest, name), draft / name)
        self._after_step("uploaded")
        self._put_signature(bucket, version, sealed)
        self._after_step("signed")
        if not bucket.put_new(_manifest_key(version), sealed):  # another process was first
            self._clear_unnamed(version)
            raise self._published_already(version)
        self._after_step("sealed")
        return version

    def fetch(self, location: str) -> Path:
        """See BundleStore; a folder of this host's cache, which asks the store nothing when it is whole."""
        return self._fetched(location, self._signatures)

    def sign(self, location: str, digest: str, *, dry_run: bool = False) -> bool:
        """See FolderBundleStore; the cache's own copy is signed anew when it is next fetched."""
        sealed = (self._fetched(location, Unsigned()) / MANIFEST).read_bytes()
        if sha256(sealed).hexdigest() != digest:
            raise BundleBroken(f"the manifest of {self._where(location)} is not the one registered as {location}")
        if dry_run:
            return self._signatures.sign(sealed) is not None
        return self._put_signature(self._bucket, location, sealed)

    def stored(self) -> Sequence[StoredBundle]:
        """See BundleKeeper."""
        found = []
        for each in self._bucket.listed():
            version, _, name = each.key.partition("/")
            if name == MANIFEST and is_version_name(version):
                found.append(StoredBundle(version, each.changed_time))
        return found

    def delete(self, location: str) -> None:
        """See BundleKeeper; the copies in hosts' caches go as others come."""
        if not is_version_name(location):
            raise BundleBroken(f"{location!r} cannot be the name of a version")
        with suppress(FileNotFoundError):  # what a mounted folder says of one that is not there
            self._bucket.delete([_manifest_key(location)])  # first, and a crash after it leaves the rest to a publish
        found = (OURS.fullmatch(each.key) for each in self._bucket.listed(location))
        self._bucket.delete([each.string for each in found if each and each.group(1) == location])

    def _fetched(self, location: str, signatures: Signatures) -> Path:
        if not is_version_name(location):
            raise BundleBroken(f"{location!r} cannot be the name of a version")

        def check(folder: Path) -> None:
            self._checked(location, verify(folder))
            signatures.check(self._where(location), (folder / MANIFEST).read_bytes(), signature_in(folder))

        return self._cache.fetch(location, lambda folder: self._fill(location, folder, signatures), check)

    def _fill(self, version: str, folder: Path, signatures: Signatures) -> None:
        """Downloads what is not there yet; the manifest is judged before anything large is asked for."""
        sealed = self._bucket.get(_manifest_key(version))
        if sealed is None:
            raise BundleBroken(f"{self._where(version)} has no {MANIFEST}: it was never published there, or deleted")
        try:
            manifest = self._checked(version, Manifest.from_json(sealed.decode()))
        except UnicodeDecodeError as error:
            raise BundleBroken(f"{MANIFEST} of {self._where(version)} cannot be read: {error}") from error
        signature = self._bucket.get(_signature_key(version, sealed))
        signatures.check(self._where(version), sealed, signature)
        for path in folder.iterdir():
            if path.name not in manifest.sha256:
                path.unlink()
        for name, digest in manifest.sha256.items():
            self._fill_file(version, folder / name, digest)
        if signature is not None:
            _write(folder / SIGNATURE, signature)
        _write(folder / MANIFEST, sealed)

    def _fill_file(self, version: str, path: Path, digest: str) -> None:
        if path.is_file() and sha256_of(path) == digest:
            return  # an attempt before this one got as far
        path.unlink(missing_ok=True)
        found = self._bucket.download(_file_key(version, digest, path.name), path)
        if found is None:
            raise BundleBroken(f"{self._where(version)} lacks the file {path.name!r} that its manifest names")
        if found != digest:
            path.unlink()
            raise BundleBroken(f"{path.name} of {self._where(version)} does not match the sum in its manifest")
        path.chmod(0o444)

    def _checked(self, version: str, manifest: Manifest) -> Manifest:
        """Its names are paths here, so they are looked at even where the manifest is signed."""
        if manifest.model_version != version:
            raise BundleBroken(f"{self._where(version)} holds version {manifest.model_version}")
        for name in manifest.sha256:
            if not is_version_name(name) or name in (MANIFEST, SIGNATURE):
                raise BundleBroken(
                    f"the manifest of {self._where(version)} names {name!r}, which is no file of a bundle"
                )
        return manifest

    def _put_signature(self, bucket: Bucket, version: str, sealed: bytes) -> bool:
        signature = self._signatures.sign(sealed)
        if signature is None:
            return False
        bucket.put(_signature_key(version, sealed), signature)
        return True

    def _clear_unnamed(self, version: str) -> None:
        """Deletes what the published manifest of a version does not name; whoever wrote it lost, and ends here too."""
        sealed = self._bucket.get(_manifest_key(version))
        if sealed is None:
            return
        named = {
            _file_key(version, digest, name) for name, digest in Manifest.from_json(sealed.decode()).sha256.items()
        }
        named.add(_signature_key(version, sealed))
        keys = [each.key for each in self._bucket.listed(version) if OURS.fullmatch(each.key)]
        self._bucket.delete([key for key in keys if key not in named])

    def _sweep(self) -> None:
        """Deletes the files of versions that have no manifest and that nobody has written to for a day."""
        try:
            files, sealed = defaultdict[str, list[Listed]](list), set[str]()
            for each in self._bucket.listed():
                if ours := OURS.fullmatch(each.key):
                    files[ours.group(1)].append(each)
                elif each.key.endswith(f"/{MANIFEST}"):
                    sealed.add(each.key.partition("/")[0])
            oldest = self._clock.now() - ABANDONED_AFTER
            for version, left in files.items():
                if version not in sealed and max(each.changed_time for each in left) < oldest:
                    log.info("abandoned_bundle_deleted", version=version, num_files=len(left))
                    self._bucket.delete([each.key for each in left])
        except BundleStoreDown as error:  # no reason not to publish: it is tried again at the next one
            log.warning("bundle_sweep_failed", error=str(error))

    def _where(self, version: str) -> str:
        return f"{self._bucket.url}/{version}"

    def _published_already(self, version: str) -> FileExistsError:
        return FileExistsError(f"{self._where(version)} is published already, and what is published never changes")


def _manifest_key(version: str) -> str:
    return f"{version}/{MANIFEST}"


def _file_key(version: str, digest: str, name: str) -> str:
    return f"{version}/{digest}/{name}"


def _signature_key(version: str, sealed: bytes) -> str:
    return f"{version}/{sha256(sealed).hexdigest()}/{SIGNATURE}"


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o444)
