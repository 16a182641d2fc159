"""A bundle store of files in memory, laid out in a folder whenever one is fetched."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from services.domain.bundles import MANIFEST, Manifest, verify
from services.domain.errors import BundleBroken


class FakeBundleStore:
    """`scratch`: where fetched folders go."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._published: dict[str, Mapping[str, bytes]] = {}

    def publish(self, draft: Path, manifest: Manifest) -> str:
        if manifest.model_version in self._published:
            raise FileExistsError(manifest.model_version)
        files = {path.name: path.read_bytes() for path in draft.iterdir()}
        sums = {name: sha256(content).hexdigest() for name, content in files.items()}
        files[MANIFEST] = replace(manifest, sha256=sums).to_json().encode()
        self._published[manifest.model_version] = files
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
