"""The serving workers of all replicas as the catalog database knows them, and what they are asked to get ready."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from services.domain.ids import ModelVersion
from services.domain.vitals import Vitals

HEARTBEAT: Final = timedelta(seconds=2)  # larger: the dead are found out later; smaller: more writes a worker
SILENT_AFTER: Final = timedelta(seconds=10)  # larger: a killed worker delays a swap; smaller: a busy one counts as gone
FORGOTTEN_AFTER: Final = timedelta(minutes=10)  # larger: more rows of the dead; smaller: nobody sees what died lately
GRACE: Final = timedelta(seconds=30)
"""How long after its deadline a preparation still counts: time to write the assignment, or for a database to return.

Larger: one that crashed blocks the next one, and costs the memory of a bundle, for longer. Smaller: what was made ready
is dropped just before it is to serve.
"""
MAX_PROBLEM: Final = 500  # characters; larger: rows that nobody reads to the end; smaller: the file at fault is cut off


@dataclass(frozen=True, slots=True)
class ServingWorker:
    """One worker process, as it last described itself."""

    worker_id: str
    """Of this process alone: one that is started anew has another."""
    replica: str
    """The serving process it belongs to: `host/pid`."""
    pid: int
    alive_time: datetime
    """When it described itself, by its own clock."""
    generation: int = 0
    """The generation it serves; 0 before its first model."""
    held: tuple[ModelVersion, ...] = ()
    """The versions it could serve at once, without a load; ascending."""
    answered: int = 0
    """The number of the last preparation it has done with, well or not; 0 before the first."""
    problem: str = ""
    """Why it could not get ready what that preparation asked for; empty when it is ready."""
    vitals: Vitals = field(default_factory=Vitals)
    """How its answers went since it started."""

    def is_silent(self, now: datetime) -> bool:
        """Whether it has said nothing for so long that it may be gone."""
        return now - self.alive_time > SILENT_AFTER


@dataclass(frozen=True, slots=True)
class Preparation:
    """A version that every worker shall load, verify and warm up, so that it can serve at once."""

    number: int
    """Counts up by one; never repeats."""
    version: ModelVersion
    expected_generation: int
    """The generation that was live when it was opened."""
    deadline: datetime

    def is_over(self, now: datetime) -> bool:
        """Whether whoever opened it must be gone, since they would have closed it long before."""
        return now > self.deadline + GRACE


def is_enough(num_ready: int, num_workers: int, min_ready: float) -> bool:
    """Whether so many ready workers can serve for all. min_ready: their share, above 0 up to 1; at least one."""
    return num_ready >= max(1, ceil(min_ready * num_workers - 1e-9))  # a share such as 0.1 is not exact
