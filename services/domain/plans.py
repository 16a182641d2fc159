"""Plans: the ways in which one model could be served, what each was measured to cost and to lose, and the choice.

Training measures them and the registry keeps the whole table; `nightjar models plans` shows it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

from services.domain.errors import BundleBroken


class Precision(StrEnum):
    """Of the encoder's weights."""

    FLOAT32 = "float32"
    INT8 = "int8"
    INT4 = "int4"


class Runtime(StrEnum):
    """What computes the encoder."""

    EAGER = "torch eager"
    """Outside of serving only: what the others are held against."""
    ONNX_RUNTIME = "ONNX Runtime"


@dataclass(frozen=True, slots=True)
class Plan:
    """One way of serving. The last three have one value each so far; they say which in the table that is kept."""

    precision: Precision
    runtime: Runtime = Runtime.ONNX_RUNTIME
    encoder: str = "teacher"
    item_table: str = "float32"
    index: str = "exact"

    @property
    def name(self) -> str:
        return ", ".join((self.encoder, self.precision, self.runtime, f"{self.item_table} items", self.index))

    @property
    def is_served(self) -> bool:
        return self.runtime is not Runtime.EAGER


REFERENCE: Final = Plan(Precision.FLOAT32, Runtime.EAGER)
PLAIN: Final = Plan(Precision.FLOAT32)
"""What the other plans fall back on: the numbers of the reference, proved at every export."""


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """What was measured of a plan that answers. Costs are of one thread on one core, on the machine of training."""

    ndcg_at_10: float
    ndcg_change: float
    """Beside the reference's on the same questions of the holdout, and the ends of its 95% interval."""
    ndcg_change_low: float
    ndcg_change_high: float
    overlap_at_20: float
    """Share of the reference's twenty best that are among its own, 0 to 1."""
    encode_core_us: float
    """Microseconds of a core to encode one history, the median."""
    answer_core_us: float
    """To encode it, score every item and find the twenty best, the median; and p50 and p99 in milliseconds."""
    answer_p50_ms: float
    answer_p99_ms: float
    encoder_bytes: int
    """Of the graph, its item table included; 0 for the reference, which has none."""

    @property
    def loss(self) -> float:
        """Share of the reference's NDCG@10 that is lost; below 0 where it is better."""
        return _share(-self.ndcg_change, self.ndcg_at_10 - self.ndcg_change)

    @property
    def loss_at_most(self) -> float:
        """The same at the worse end of the interval."""
        return _share(-self.ndcg_change_low, self.ndcg_at_10 - self.ndcg_change)


@dataclass(frozen=True, slots=True)
class PlanRow:
    plan: Plan
    figures: PlanFigures | None
    """None for one that could not be made, loaded or asked."""
    reason: str = ""
    """Why there are none."""


@dataclass(frozen=True, slots=True)
class PlanTable:
    rows: Sequence[PlanRow]
    chosen: Plan
    max_loss: float
    """What was allowed to be lost, as a share of the reference's NDCG@10."""

    def row(self, plan: Plan) -> PlanRow | None:
        return next((row for row in self.rows if row.plan == plan), None)

    def to_document(self) -> dict[str, Any]:
        """In JSON, for manifest and registry."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Raises BundleBroken for what no table was written as."""
        try:
            rows = [
                PlanRow(
                    _plan(row["plan"]), None if row["figures"] is None else PlanFigures(**row["figures"]), row["reason"]
                )
                for row in document["rows"]
            ]
            return cls(rows, _plan(document["chosen"]), float(document["max_loss"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleBroken(f"the table of plans cannot be read: {error}") from error


MIN_SAVING: Final = 0.1
"""Of PLAIN's cost. Larger: savings are left lying; smaller: noise of the measuring picks, another plan every night."""


def cheapest(rows: Sequence[PlanRow], max_loss: float) -> Plan:
    """The served plan whose answers cost least, of those that lose at most `max_loss` at the worse end of the interval.

    PLAIN, which computes what the reference does, unless another saves MIN_SAVING of its cost. Equal costs: the first.
    """
    fit = {
        row.plan: row.figures.answer_core_us
        for row in rows
        if row.figures is not None and row.plan.is_served and row.figures.loss_at_most <= max_loss
    }
    best = min(fit, key=fit.__getitem__, default=PLAIN)
    saves = PLAIN not in fit or fit[best] <= (1 - MIN_SAVING) * fit[PLAIN]
    return best if saves else PLAIN


def _plan(document: Mapping[str, Any]) -> Plan:
    parts = {**document}
    return Plan(precision=Precision(parts.pop("precision")), runtime=Runtime(parts.pop("runtime")), **parts)


def _share(part: float, whole: float) -> float:
    if part == 0:
        return 0.0
    return part / whole if whole > 0 else math.copysign(math.inf, part)
