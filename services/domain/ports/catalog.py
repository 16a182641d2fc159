"""What is known of items and users besides what users did."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.domain.ids import ItemId
from services.domain.items import Item
from services.domain.users import Erasure, User


class ItemCatalog(Protocol):
    def upsert(self, items: Sequence[Item]) -> None:
        """Stores each item unless a newer update_time is stored already; raises CatalogDown."""
        ...

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        """The known ones among them."""
        ...

    def count(self) -> int: ...


class UserDirectory(Protocol):
    """Users' attributes, and the wishes to be forgotten. Methods block; they raise CatalogDown."""

    def upsert(self, users: Sequence[User]) -> None:
        """Stores each user unless a newer update_time is stored already."""
        ...

    def request_erasures(self, erasures: Sequence[Erasure]) -> None:
        """Forgets the users' attributes at once and notes that all they did is to be forgotten; may be repeated."""
        ...

    def open_erasures(self) -> Sequence[Erasure]:
        """The wishes that are not fulfilled everywhere yet, oldest first."""
        ...

    def close_erasures(self, done: Sequence[Erasure]) -> None:
        """Notes that nothing is left of these users' past; a newer wish of the same user stays open."""
        ...
