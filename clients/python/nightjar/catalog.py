"""Item and User: the present state of what is recommended and of whom to, as small immutable objects."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final, Self

from nightjar.errors import InvalidField
from nightjar.times import now, set_time
from nightjar.v1 import item_pb2, user_pb2

NANOS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Price:
    """An exact amount, units + nanos / 10^9, of a currency named as ISO 4217 does, such as "EUR"."""

    currency_code: str
    units: int
    nanos: int = 0

    @classmethod
    def of(cls, amount: Decimal | int | str, currency_code: str) -> Self:
        """As in `Price.of("12.99", "EUR")`; raises InvalidField for what is no amount, or finer than nanos."""
        try:
            total = Decimal(amount) * NANOS
            if total == total.to_integral_value():
                return cls(currency_code, *divmod(int(total), NANOS))
        except ArithmeticError as error:
            raise InvalidField("price", f"has the amount {amount!r}, which is no number") from error
        raise InvalidField("price", f"has the amount {amount!r}, which is finer than a billionth")

    @property
    def amount(self) -> Decimal:
        """The whole amount, exact."""
        return self.units + Decimal(self.nanos) / NANOS


@dataclass(frozen=True, slots=True)
class Item:
    """The present state of one catalogue item; the fields are those of nightjar.v1.Item. The newest update wins.

    A later record replaces the whole state, so send every field each time. Times must be aware; default now.
    """

    item_id: str
    title: str = ""
    categories: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    update_time: datetime = field(default_factory=now)
    description: str = ""
    tags: tuple[str, ...] = ()
    price: Price | None = None
    available_from_time: datetime | None = None
    available_until_time: datetime | None = None
    """From this moment on the item is in no answer."""
    hidden: bool = False
    """True: in no answer, within a second."""
    embedding: tuple[float, ...] = ()

    def to_proto(self) -> item_pb2.Item:
        """The wire message; raises ValueError for what the wire cannot hold, InvalidField for a time without a zone."""
        message = item_pb2.Item(
            item_id=self.item_id,
            title=self.title,
            categories=self.categories,
            attributes=self.attributes,
            description=self.description,
            tags=self.tags,
            hidden=self.hidden,
            embedding=self.embedding,
        )
        if self.price is not None:
            message.price.currency_code = self.price.currency_code
            message.price.units, message.price.nanos = self.price.units, self.price.nanos
        set_time(message.update_time, "update_time", self.update_time)
        if self.available_from_time is not None:
            set_time(message.available_from_time, "available_from_time", self.available_from_time)
        if self.available_until_time is not None:
            set_time(message.available_until_time, "available_until_time", self.available_until_time)
        return message


@dataclass(frozen=True, slots=True)
class User:
    """The present state of one user; the fields are those of nightjar.v1.User. The newest update wins."""

    user_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    update_time: datetime = field(default_factory=now)

    def to_proto(self) -> user_pb2.User:
        """The wire message; raises ValueError for what the wire cannot hold, InvalidField for a time without a zone."""
        message = user_pb2.User(user_id=self.user_id, attributes=self.attributes)
        set_time(message.update_time, "update_time", self.update_time)
        return message
