"""What the newest day of the log is held against before anything is trained on it."""

from typing import Self

from pydantic import Field, model_validator

from services.settings.section import Section


class CheckSettings(Section):
    """Usual: the median of the 14 days before, and beside it that of the same weekday. Every bound may be 0: off."""

    min_history_days: int = Field(default=3, ge=1, le=14)
    """Days before the newest one that are needed to know what is usual; with fewer all comparisons pass. Smaller: a new
    log is judged by chance; larger: it is not judged for so long."""
    deviations: float = Field(default=3.0, ge=1, le=20)
    """Robust standard deviations of the days before by which each bound gives way, where that is more than the bound.
    Smaller: nights stop by chance; larger: a log that varies much is hardly judged."""
    min_volume_share: float = Field(default=0.6, ge=0, lt=1)
    """Least share of the usual number of events, of events of each type, and of users. Smaller: a lost part of a day
    goes unseen; larger: a quiet day stops the night. 0: off."""
    max_volume_share: float = Field(default=3.0, ge=0, le=1_000)
    """The most, likewise, above 1. Smaller: a good day for sales stops the night; larger: a day sent twice passes.
    0: off."""
    unknown_items_margin: float = Field(default=0.2, ge=0, le=1)
    """Of the share of events that is usually on items known before: how much of it may turn to unknown ones. Smaller:
    new items stop the night; larger: a catalogue with new ids passes. 0: off."""
    missing_values_margin: float = Field(default=0.05, ge=0, le=1)
    """Likewise of the events that usually carry a value, how many may lack it; of types that are judged by one
    (positive_from, negative_to). Smaller: a few stop the night; larger: a producer without them passes. 0: off."""
    missing_ids_margin: float = Field(default=0.01, ge=0, le=1)
    """Likewise of all events, how many may lack user, item or type. Writers refuse these, so it is for what came into
    the log by other ways. Smaller: a few events stop the night; larger: users that are nobody pass. 0: off."""
    duplicates_margin: float = Field(default=0.03, ge=0, le=1)
    """Likewise of all events, how many may have another's user, item, type and time under an id of their own. Smaller:
    users who click twice in a moment stop the night; larger: a producer that sends twice passes. 0: off."""
    max_type_drift: float = Field(default=0.25, ge=0, le=10)
    """Largest population stability index of the mix of event types; below 0.1 is taken for no change, above 0.25 for a
    large one. Smaller: a campaign stops the night; larger: a client that reports clicks as views passes. 0: off."""
    max_popularity_drift: float = Field(default=0.25, ge=0, le=10)
    """Likewise of the popularity of known items, in ten groups. Smaller: a change of fashion stops the night; larger:
    mixed-up item ids pass. 0: off."""
    max_age_h: float = Field(default=48.0, ge=0, le=100_000)
    """Oldest that the newest event may be, hours. Smaller: a quiet weekend stops the night; larger: a writer that
    stands still goes unseen. 0: off, for logs of long ago."""
    future_tolerance_s: int = Field(default=300, ge=0, le=86_400)
    """How far ahead of this machine's clock an event may be and not count as from the future, seconds. Smaller: clocks
    that differ a little count; larger: one wrong clock may say when the newest day ends."""
    max_future_share: float = Field(default=0.01, ge=0, le=1)
    """Largest share of events from the future, of these and the newest day's. Smaller: one wrong clock stops the night;
    larger: many do not. 0: off."""

    @model_validator(mode="after")
    def _the_most_is_more_than_usual(self) -> Self:
        if 0 < self.max_volume_share <= 1:
            raise ValueError(f"max_volume_share ({self.max_volume_share}) must be above 1, since 1 is usual, or 0: off")
        return self
