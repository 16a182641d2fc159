"""What a check found."""

from dataclasses import asdict, dataclass
from typing import Any, Final

from services.training.checking.usual import Bounds

OFF: Final = "Not judged: its setting is 0."


@dataclass(frozen=True, slots=True)
class DataFinding:
    """One rule about a version of the log. `sentence` is for people, and says what to do when the rule is broken."""

    rule: str
    """Such as `volume`, or `volume:view` of one event type."""
    figure: float
    usual: float | None
    """The median of the days before; None where there is nothing to compare with."""
    low: float | None
    high: float | None
    """The bounds, both included; None: does not bind."""
    passed: bool
    sentence: str

    @classmethod
    def judged(cls, rule: str, figure: float, bounds: Bounds, well: str, ill: str) -> "DataFinding":
        """well, ill: the sentence of a figure within the bounds, and of one that is not."""
        passed = bounds.hold(figure)
        return cls(rule, figure, bounds.usual, bounds.low, bounds.high, passed, well if passed else ill)

    @classmethod
    def unjudged(cls, rule: str, figure: float, why: str) -> "DataFinding":
        """One that passes, since there is nothing to hold it against."""
        return cls(rule, figure, None, None, None, True, why)

    def document(self) -> dict[str, Any]:
        return asdict(self)


def too_young(rule: str, figure: float, num_before: int, needed: int) -> DataFinding:
    return DataFinding.unjudged(
        rule,
        figure,
        f"Not judged: the log has {num_before} whole days before the newest one, and {needed} are needed to know what "
        f"is usual.",
    )
