"""What is asked to be judged. Knows no model and no data."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.domain.errors import InvalidRequest
from services.domain.ids import ModelVersion


@dataclass(frozen=True, slots=True)
class Asked:
    """Raises InvalidRequest for what cannot be."""

    data_version: int
    """Of the log, whose last part is held out."""
    challengers: Sequence[ModelVersion]
    """Each once."""
    champion: ModelVersion | None = None
    """None: there is none to compare with."""

    def __post_init__(self) -> None:
        if self.data_version < 0:
            raise InvalidRequest("--data-version", f"must be 0 or more, not {self.data_version}")
        if not self.challengers or len(set(self.challengers)) < len(self.challengers):
            raise InvalidRequest("--challengers", "must name at least one version, and each once")
