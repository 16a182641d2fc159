"""Words passed at once to whoever serves: another model is live, items were hidden or shown."""

from typing import Protocol


class Notice(Protocol):
    """The sending side. Losing a notice only delays: workers also poll."""

    def announce(self, number: int) -> None:
        """Tells that there is a new generation of the assignment, or version of the catalog. Blocks; never raises."""
        ...


class Notices(Protocol):
    """The receiving side."""

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as a notice came, False after the timeout or while notices cannot be received."""
        ...
