"""A bundle store of files in memory, laid out in a folder whenever one is fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from services.domain.bundles import MANIFEST, Manifest, is_version_name, verify
from services.domain.errors import BundleBroken
from services.domain.model_keeping import StoredBundle


class FakeBundleStore:
    """`scratch`: where fetched folders go."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._published: dict[str, Mapping[str, bytes]] = {}
        self._times: dict[str, datetime] = {}

    def publish(self, draft: Path, manifest: Manifest) -> str:
        if manifest.model_version in self._published:
            raise FileExistsError(manifest.model_version)
        files = {path.name: path.read_bytes() for path in draft.iterdir()}
        sums = {name: sha256(content).hexdigest() for name, content in files.items()}
        files[MANIFEST] = replace(manifest, sha256=sums).to_json().encode()
        self._published[manifest.model_version] = files
        self._times[manifest.model_version] = datetime.now(UTC)
        return manifest.model_version

    def fetch(self, location: str) -> Path:
        if location not in self._published:
            raise BundleBroken(f"nothing was published as {location}")
        folder = self._scratch / location
        folder.mkdir(exist_ok=True)
        for name, content in self._published[location].items():
            (folder / name).write_bytes(content)
        verify(folder)
        return folder

    def stored(self) -> Sequence[StoredBundle]:
        return [StoredBundle(location, self._times[location]) for location in self._published]

    def delete(self, location: str) -> None:
        if not is_version_name(location):
            raise BundleBroken(location)
        self._published.pop(location, None)
