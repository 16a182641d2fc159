"""The log at one of its versions: when it was committed, and how far every partition was stored then."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.domain.streams import Partition, Progress


@dataclass(frozen=True, slots=True)
class LogState:
    version: int
    commit_time: datetime
    progress: Mapping[Partition, Progress]
    """Of the partitions asked about; one never stored is left out."""
