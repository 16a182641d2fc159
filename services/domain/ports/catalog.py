"""What is known of items and users besides what users did."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from services.domain.ids import ItemId, UserId
from services.domain.items import AvailabilityChanges, FactsMark, FactsPage, Item
from services.domain.users import Erasure, User


class ItemCatalog(Protocol):
    def upsert(self, items: Sequence[Item]) -> int | None:
        """Stores each item unless a newer update_time is stored already; raises CatalogDown.

        Returns the new version of the catalog when the availability of any item changed, so that serving can be told;
        None when none did.
        """
        ...

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        """The known ones among them."""
        ...

    def count(self) -> int: ...


class ItemSource(Protocol):
    """What training reads of the catalog."""

    def each(self) -> Iterator[Item]:
        """Every item, once, in any order; what changes meanwhile may or may not be seen. Raises CatalogDown."""
        ...


class ErasureSource(Protocol):
    """What training reads of the directory, so that no model learns of the erased."""

    def erasures(self) -> Sequence[Erasure]:
        """As in UserDirectory."""
        ...


class AvailabilitySource(Protocol):
    """What serving reads of the catalog."""

    def availability_since(self, version: int) -> AvailabilityChanges:
        """The catalog's version, and the present availability of the items where it changed after `version`.

        Both are of one moment. 0 asks for all. Blocks; raises CatalogDown.
        """
        ...


class FactsSource(Protocol):
    """What serving reads of the catalog to filter by."""

    def facts_since(self, mark: FactsMark, limit: int) -> FactsPage:
        """At most `limit` of the items whose facts changed after the mark, the earliest changes first.

        Whoever reads until the last page has heard of every change; one that comes meanwhile may be on a page or wait
        for the next reading. The first mark asks for all items that ever had facts. Blocks; raises CatalogDown.
        """
        ...


class UserDirectory(Protocol):
    """Users' attributes, and the wishes to be forgotten. Methods block; they raise CatalogDown.

    States and wishes may come in any order and more than once: a state of before a wish is never stored or kept.
    """

    def upsert(self, states: Sequence[User]) -> None:
        """Stores each user's state unless a newer update_time is stored already."""
        ...

    def get(self, user_ids: Sequence[UserId]) -> Mapping[UserId, User]:
        """The known ones among them."""
        ...

    def request_erasures(self, wishes: Sequence[Erasure]) -> None:
        """Forgets the users' attributes at once and notes that all they did is to be forgotten; may be repeated."""
        ...

    def open_erasures(self) -> Sequence[Erasure]:
        """The wishes that are not fulfilled everywhere yet, oldest first."""
        ...

    def erasures(self) -> Sequence[Erasure]:
        """The newest wish of every user who ever had one, fulfilled or not, oldest first: what came late is looked for.

        Some 200 bytes of memory each.
        """
        ...

    def close_erasures(self, done: Sequence[Erasure]) -> None:
        """Notes that nothing is left of these users' past; a newer wish of the same user stays open."""
        ...

    def reopen_erasures(self, found: Sequence[Erasure]) -> None:
        """Takes that back: something of before the wish came late; a newer wish of the same user stays as it is."""
        ...
