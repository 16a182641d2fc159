"""Which settings of each kind are searched, and within which bounds: the one table.

What only costs (max_epochs, how many neighbours are served) is not searched: more of it is never worse on validation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

Value: TypeAlias = int | float | None


@dataclass(frozen=True, slots=True)
class Between:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Twice as much is as far everywhere."""
    whole: bool = False

    def holds(self, value: Value) -> bool:
        return value is not None and self.low <= value <= self.high

    def widened(self, value: Value) -> "Between":
        """With this value within it, where it can be."""
        if value is None or (self.log and value <= 0):
            return self
        return replace(self, low=min(self.low, value), high=max(self.high, value))


@dataclass(frozen=True, slots=True)
class OneOf:
    """These values alone, in an order in which neighbours are alike."""

    values: tuple[Value, ...]

    def holds(self, value: Value) -> bool:
        return value in self.values

    def widened(self, value: Value) -> "OneOf":
        """With this value among them; None, "off" or "by the data", comes last."""
        among = {*self.values, value}
        return OneOf(tuple(sorted(among, key=lambda each: (each is None, each or 0))))


Space: TypeAlias = Mapping[str, Between | OneOf]

_HALF_LIFE_DAYS: Final = OneOf((3.0, 7.0, 14.0, 21.0, 30.0, 60.0, 120.0, None))

SPACES: Final[Mapping[str, Space]] = {
    "sequence": {
        "dim": OneOf((32, 64, 96, 128, 192, 256)),  # every one of num_heads divides each of them into even parts
        "num_blocks": Between(1, 4, whole=True),
        "num_heads": OneOf((1, 2, 4)),
        "dropout": Between(0.0, 0.6),
        "input_dropout": Between(0.0, 0.8),
        "temperature": Between(0.02, 0.5, log=True),
        "half_life_days": Between(7.0, 1000.0, log=True),
        "learning_rate": Between(1e-4, 1e-2, log=True),
        "weight_decay": Between(1e-4, 0.3, log=True),
        "batch_events": OneOf((512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536)),
        "num_negatives": OneOf((128, 256, 512, 1_024, 2_048, 4_096)),
    },
    "ease": {
        "l2": Between(1.0, 10_000.0, log=True),
        "half_life_days": _HALF_LIFE_DAYS,
    },
    "item_knn": {
        "num_neighbours": OneOf((10, 20, 50, 100, 200, 500)),
        "shrinkage": Between(0.1, 1_000.0, log=True),
        "half_life_days": _HALF_LIFE_DAYS,
    },
    "gf_cf": {
        "num_components": OneOf((16, 32, 64, 128, 256, 512)),
        "ideal_weight": Between(0.0, 1.0),
        "sharpening": Between(0.0, 1.0),
        "popularity_power": Between(0.0, 0.5),
        "half_life_days": _HALF_LIFE_DAYS,
    },
    "ials": {
        "dim": OneOf((16, 32, 64, 128, 256)),
        "unobserved_weight": Between(1e-3, 1.0, log=True),
        "regularisation": Between(1e-4, 0.1, log=True),
        "frequency_exponent": Between(0.0, 1.0),
        "num_epochs": Between(4, 24, whole=True),
        "half_life_days": _HALF_LIFE_DAYS,
    },
}
"""By kind. Popularity has nothing to search."""


def around(space: Space, present: Mapping[str, Value]) -> Space:
    """The space with the present settings within it."""
    return {name: bounds.widened(present[name]) for name, bounds in space.items()}
