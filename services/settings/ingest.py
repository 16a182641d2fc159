"""The way in: what a record may be, when the writers store, and the operator's words for events."""

from dataclasses import asdict
from typing import Self

from pydantic import Field, model_validator

from services.domain.event_types import DEFAULT_HALF_LIFE_S, EventType, Role
from services.settings.section import Section


class IngestSettings(Section):
    max_record_bytes: int = Field(default=65_536, ge=1_024, le=1_000_000)
    """A larger record goes to the dead letters, bytes."""
    commit_rows: int = Field(default=50_000, ge=1, le=5_000_000)
    """Rows after which the offline writer commits. Larger: fewer files, more memory."""
    commit_bytes: int = Field(default=64 * 1_048_576, ge=65_536, le=4 * 1_073_741_824)
    """Bytes of records after which the offline writer commits, duplicates included; bounds its memory."""
    commit_interval_s: float = Field(default=10.0, gt=0, le=3_600)
    """Longest time a row waits for its commit, seconds. Smaller: more and smaller files."""
    dedupe_window_s: int = Field(default=7 * 86_400, ge=0, le=366 * 86_400)
    """How far behind the newest event_time in the log ids are read back after a restart, seconds; 0 reads none."""
    dedupe_max_ids: int = Field(default=20_000_000, ge=0, le=1_000_000_000)
    """Event ids a writer remembers at most, the newest by event_time stay; 16 bytes each. 0 finds no duplicates."""
    max_future_s: int = Field(default=86_400, ge=0, le=366 * 86_400)
    """How far in the future an event_time may lie, seconds."""
    max_consecutive_dead: int = Field(default=10_000, ge=1)
    """Dead records in a row after which the offline writer stops: then the producer is broken, not a record."""


class EventTypeSettings(Section):
    """One word for what users do. Two that a shop with ratings from 1 to 5 may declare, in TOML:

    [[event_types]]
    name = "rating"
    role = "positive"
    positive_from = 4.0
    negative_to = 2.0
    consumes = true

    [[event_types]]
    name = "dislike"
    role = "negative"
    weight = -3.0
    """

    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    """The word producers put into Event.type."""
    role: Role
    """impression, positive, negative or neutral. With thresholds below: the role of an event without a value."""
    weight: float | None = Field(default=None, ge=-100, le=100)
    """How much one such event counts in training and in what is popular and trending; 1.0 is a plain view. Its sign is
    that of the role; neutral events and impressions count nothing. Unset: 1.0, or -1.0 for a negative role."""
    consumes: bool = False
    """True when the item is not recommended to that user again."""
    half_life_s: float = Field(default=DEFAULT_HALF_LIFE_S, ge=60, le=10 * 366 * 86_400)
    """Seconds after which one such event counts half in what is popular and trending."""
    positive_from: float | None = Field(default=None, allow_inf_nan=False)
    """An event whose value is this or more is positive, such as 4 for ratings up to 5. Unset: no value makes it so."""
    negative_to: float | None = Field(default=None, allow_inf_nan=False)
    """An event whose value is this or less is negative, such as 2 for ratings from 1. Unset: no value makes it so. A
    value that reaches neither of the thresholds is neutral."""

    @model_validator(mode="after")
    def _can_judge(self) -> Self:
        kind = self.declared()
        if self.weight is None:
            return self
        if not kind.takes_sides and self.weight != 0:
            raise ValueError(f"weight is {self.weight}, but no {self.name} says anything; leave it out or set a role")
        if kind.takes_sides and (self.weight < 0) != (self.role is Role.NEGATIVE):
            raise ValueError(f"weight is {self.weight}, which is of another sign than the role {self.role}")
        return self

    def declared(self) -> EventType:
        """The event type that this declares."""
        return EventType(**self.model_dump(exclude_none=True))

    @classmethod
    def of(cls, kind: EventType) -> Self:
        """The settings that declare an event type."""
        return cls(**asdict(kind))
