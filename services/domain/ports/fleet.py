"""The serving workers, and what they are asked to get ready."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from services.domain.fleet import Preparation, ServingWorker
from services.domain.ids import ModelVersion


class Fleet(Protocol):
    """Who serves, and at most one open preparation. All of it blocks and raises CatalogDown."""

    def report(self, worker: ServingWorker) -> None:
        """Writes down what a worker says of itself, over what it said before, and forgets those long gone."""
        ...

    def leave(self, worker_id: str) -> None:
        """Forgets a worker that stops or is found dead; one that is alive all the same comes back by reporting."""
        ...

    def workers(self) -> Sequence[ServingWorker]:
        """All that have reported and not left, the silent ones too, by replica and id."""
        ...

    def preparation(self) -> Preparation | None:
        """The open preparation; None when there is none, or when it is over."""
        ...

    def open(
        self, version: ModelVersion, expected_generation: int, deadline: datetime, *, preempt: bool = False
    ) -> Preparation | None:
        """Opens a preparation; None while another is open. `preempt`: closes that one, whatever it is."""
        ...

    def close(self, number: int) -> None:
        """Closes a preparation, unless it is closed or another took its place."""
        ...
