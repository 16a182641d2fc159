"""Models: versions, the live assignment and its notice, and published bundles."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from services.domain.bundles import Manifest
from services.domain.ids import ModelVersion
from services.domain.model_keeping import StoredBundle
from services.domain.models import Assignment, Model, Pin, Verdict


class ModelRegistrar(Protocol):
    """What training needs of the registry."""

    def register(self, model: Model) -> None:
        """Adds a version; may be repeated. Raises ValueError when it exists with other content, and CatalogDown."""
        ...


class ModelRegistry(ModelRegistrar, Protocol):
    """Versions, verdicts and the live assignment. Methods block; they raise CatalogDown when the database is gone."""

    def get(self, version: ModelVersion) -> Model:
        """Raises UnknownVersion."""
        ...

    def newest(self, limit: int) -> Sequence[Model]:
        """Newest first."""
        ...

    def everything(self) -> Sequence[Model]:
        """All versions there are, newest first; clean-up bounds how many."""
        ...

    def by_origin(self, origin: str) -> Model | None:
        """The first that was registered with this origin, which is not empty; None when there is none."""
        ...

    def judge(self, version: ModelVersion, verdict: Verdict) -> None:
        """Stores the gate's verdict; raises UnknownVersion."""
        ...

    def pin(self, version: ModelVersion, pin: Pin | None) -> None:
        """Stores a pin over an earlier one, or with None takes it off.

        Raises UnknownVersion, and BundleDeleted where there is nothing left to keep.
        """
        ...

    def retire(self, version: ModelVersion) -> bool:
        """Marks a bundle as deleted, after which the version can neither go live nor be pinned; may be repeated.

        False, and nothing is changed, when it is live, on trial or pinned at this moment. Raises UnknownVersion.
        """
        ...

    def forget(self, version: ModelVersion) -> bool:
        """Deletes a retired version's row; False when it isn't retired, or the audit log names it."""
        ...

    def live(self) -> Assignment | None: ...

    def assignments(self, limit: int) -> Sequence[Assignment]:
        """The changes of the live model, newest first: the audit log."""
        ...

    def assign(
        self,
        version: ModelVersion,
        *,
        actor: str,
        reason: str,
        override: bool,
        expected_generation: int,
        restores: int | None = None,
    ) -> Assignment | None:
        """Makes a version live if the generation is still the expected one (0: there never was one), else None.

        `restores` marks a rollback, see Assignment. Raises UnknownVersion, and BundleDeleted for a retired one.
        """
        ...


class BundleStore(Protocol):
    """Published bundles, immutable once published."""

    def publish(self, draft: Path, manifest: Manifest) -> str:
        """Stores a folder of files under the manifest's version and returns its location.

        Sums are computed here and the manifest, with them, is written last; what was published never changes.
        Raises FileExistsError for a version that exists.
        """
        ...

    def fetch(self, location: str) -> Path:
        """A local folder whose every file was just compared with its sum, so no reader needs to hash it again.

        Raises BundleBroken, naming the file at fault.
        """
        ...


class BundleKeeper(Protocol):
    """What clean-up needs of a bundle store. Both raise BundleStoreDown."""

    def stored(self) -> Sequence[StoredBundle]:
        """All that is published, in no order."""
        ...

    def delete(self, location: str) -> None:
        """Deletes a bundle, out of every reader's sight in one step; one that is not there is none.

        Raises BundleBroken for a name that is no version's.
        """
        ...
