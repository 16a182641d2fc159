"""What keeps the registry and the store of bundles small, in the domain's words."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.domain.ids import ModelVersion


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """A published bundle as its store lists it, whoever knows of it."""

    location: str
    published_time: datetime
    """By the store's clock; later than it was where somebody copied the files."""


@dataclass(frozen=True, slots=True)
class ModelsCleaned:
    """What a clean-up of models did, or with a dry run, what it would do."""

    deleted: Collection[ModelVersion] = ()
    """Versions whose bundles are deleted."""
    num_rows: int = 0
    """Of the registry, deleted too, since the audit log names no such version."""
    in_use: Collection[ModelVersion] = ()
    """Versions that would have been deleted, but a worker holds them, or they were promoted or pinned meanwhile."""
    unknown: Collection[str] = ()
    """Locations of bundles that were deleted because no row knew them."""
    num_strange: int = 0
    """Bundles that no row knows, left because they are more than those it knows: the store may be another's."""
    problem: str = ""
    """Why it ended early; empty: it did not."""

    @property
    def sentences(self) -> tuple[str, ...]:
        told = {
            f"bundles of {len(self.deleted)} models deleted": self.deleted,
            f"{self.num_rows} models forgotten that were never live": self.num_rows,
            f"{len(self.in_use)} old models kept while they are in use": self.in_use,
            f"{len(self.unknown)} bundles deleted that nobody had registered": self.unknown,
            f"{self.num_strange} bundles left that nobody has registered, more than are registered: is this the store "
            "of this catalog database?": self.num_strange,
            f"models were not cleaned up: {self.problem.rstrip('.')}": self.problem,
        }
        return tuple(sentence for sentence, told_of in told.items() if told_of)


class ModelKeeper(Protocol):
    """Deletes what no longer has to be kept of models; see `ModelsCleaned`. Blocks."""

    def clean(self, keep_going: Callable[[], bool], *, dry_run: bool) -> ModelsCleaned:
        """`keep_going` is asked before each model; may be repeated.

        Raises CatalogDown, and BundleStoreDown; nothing is deleted before the whole registry was read.
        """
        ...
