"""What keeps the offline log small, quick to read and free of erased users, in the domain's words."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.domain.users import Erasure


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The log now. Dates are ISO 8601, None while it is empty."""

    version: int
    oldest_version: int
    """The oldest that the log still knows; reading one that is neither pinned nor recent may fail all the same."""
    num_events: int
    num_files: int
    size_bytes: int
    """Of the files of the newest version."""
    disk_bytes: int
    """Of all files: those of older versions and the commit log too."""
    num_dates: int
    first_date: str | None
    last_date: str | None


@dataclass(frozen=True, slots=True)
class Compacted:
    num_dates: int
    num_files_before: int
    num_files_after: int


@dataclass(frozen=True, slots=True)
class Erased:
    num_events: int
    num_dates: int
    num_dates_left: int
    """Dates that others kept writing to, so that nothing was erased there; the next run tries again."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    num_files: int
    """Data files deleted: no version that is kept has them."""
    num_commits: int
    """Commits forgotten: versions before the oldest one that is kept."""
    given_up: Sequence[int]
    """Pinned versions that cannot be kept: an erased user is in them."""
    missing: Sequence[int]
    """Pinned versions of which something was gone before: to an earlier erasure, or nothing pinned them then."""
    pending: Sequence[Erasure]
    """Wishes of users of whom something is left on disk, or may be, where half a file is."""
    seen: Sequence[Erasure]
    """Those of them of which something was seen."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the log's files hold of one user."""

    num_events_now: int
    """In the newest version."""
    num_events_before: int
    """In files that only older versions have, or none; an event in two such files counts twice."""
    num_files_unreadable: int
    """Half files, which may hold anybody; a writer may be at one this moment."""


class LogKeeper(Protocol):
    """The housekeeping of the log. Everything is safe beside writers, readers and one another; all methods block.

    With `dry_run` nothing is changed, and what is returned is what would have been. `keep_going` is asked between
    steps; after it said no the rest is left for another time. They raise EventLogDown.
    """

    def held(self, wish: Erasure) -> Held:
        """What is on disk of what the user did until their wish, that moment included. Reads every file."""
        ...

    def facts(self) -> LogFacts | None:
        """None before the first append."""
        ...

    def drop_before(self, day: int, *, dry_run: bool) -> int:
        """Deletes all dates before `day`, in days since the epoch, from the newest version; returns how many."""
        ...

    def erase(self, wishes: Sequence[Erasure], keep_going: Callable[[], bool], *, dry_run: bool) -> Erased:
        """Deletes from the newest version what these users did until their wish, that moment included."""
        ...

    def compact(self, keep_going: Callable[[], bool], *, dry_run: bool) -> Compacted:
        """Merges the small files of each date that has many."""
        ...

    def clean(self, pinned: Collection[int], wishes: Sequence[Erasure], min_age_h: int, *, dry_run: bool) -> Cleaned:
        """Deletes the files and commits that only older versions have.

        Kept are the pinned versions and all that was part of the log in the last `min_age_h` hours, for those who read
        it now. Erasure is stronger than a pin, though: a version with events of these users is not kept.
        """
        ...
