"""What a training run is asked for beyond its settings. Knows no model and no data; may be sent to another process."""

from dataclasses import dataclass
from typing import Final

from services.domain.errors import InvalidRequest
from services.domain.ids import ModelVersion

MAX_ORIGIN: Final = 200  # characters. Larger: a key that nobody can read; smaller: some scheduler's names do not fit


@dataclass(frozen=True, slots=True)
class Asked:
    """Raises InvalidRequest for what cannot be."""

    until_us: int | None = None
    """Train on what happened before this moment; None: on all."""
    data_version: int | None = None
    """Of the log; None: the newest."""
    challenger: str = ""
    """Which of schedule.challengers it is, and so whose checkpoint a killed run goes on from; empty: none of them."""
    origin: str = ""
    """Whose work this is, such as `night-12/warm`: asked for again, it is the version that was registered then."""
    repeats: ModelVersion | None = None
    """The version whose training is done again, see `repeating`; None: none."""

    def __post_init__(self) -> None:
        if self.data_version is not None and self.data_version < 0:
            raise InvalidRequest("--data-version", f"must be 0 or more, not {self.data_version}")
        if len(self.origin) > MAX_ORIGIN or not self.origin.isprintable():
            raise InvalidRequest("--origin", f"must be at most {MAX_ORIGIN} printable characters")
