"""Which items a model may not show at this moment: those that are hidden, and those outside their window.

The catalog's snapshot is swapped by one assignment, like the model. What it means in rows of a model is worked out once
for each model, snapshot and edge of a window, not for each request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from services.domain.ids import ItemId, ModelVersion
from services.domain.items import Availability, AvailabilityChanges
from services.domain.ports import Clock
from services.inference.retrieval import NO_ROWS, Rows
from services.inference.serving_model import ServingModel

_ALWAYS_US: Final = np.iinfo(np.int64).min
_NEVER_US: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every item that may not always be shown, as of one version of the catalog."""

    version: int
    restricted: Mapping[ItemId, Availability]

    def after(self, changes: AvailabilityChanges) -> "Snapshot":
        """The snapshot of the version that these changes lead to."""
        changed = {**self.restricted, **changes.items}
        return Snapshot(changes.version, {item_id: each for item_id, each in changed.items() if each.is_restricted})


EMPTY: Final = Snapshot(0, {})


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The items of one model that are in no answer at one moment."""

    rows: Rows
    """Their rows, ascending."""
    version: str
    """A fingerprint of the rows, hexadecimal: answers of one model differ by it only when the rows do. Empty: none."""
    is_known: bool
    """False while the catalog has not been read since the worker started; the rows are none then."""
    _flags: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Rows, num_items: int, *, is_known: bool = True) -> Self:
        flags = np.zeros(num_items + 1, dtype=np.bool_)
        flags[rows] = True
        version = blake2b(rows.astype("<u4").tobytes(), digest_size=8).hexdigest() if len(rows) else ""
        return cls(rows, version, is_known, flags)

    def and_rows(self, others: Rows) -> Rows:
        """These rows and the others, each once; the others are different ones."""
        return np.concatenate((self.rows, others[~self._flags[others]]))


@dataclass(frozen=True, slots=True)
class Windows:
    """A snapshot's restricted items in rows of one model, and from when until when each is shown."""

    snapshot: Snapshot
    model_version: ModelVersion
    num_items: int
    rows: Rows
    from_us: npt.NDArray[np.int64]
    until_us: npt.NDArray[np.int64]

    @classmethod
    def of(cls, snapshot: Snapshot, model: ServingModel) -> Self:
        """Takes a tenth of a second a million restricted items; blocks."""
        known = [each for item_id, each in snapshot.restricted.items() if item_id in model.vocabulary.item_rows]
        rows = model.known_rows(snapshot.restricted)
        order = np.argsort(rows)
        return cls(
            snapshot,
            model.version,
            model.index.num_items,
            rows=rows[order],
            from_us=np.array([_from_us(each) for each in known], dtype=np.int64)[order],
            until_us=np.array([_until_us(each) for each in known], dtype=np.int64)[order],
        )

    def at(self, now_us: int) -> "Moment":
        outside = (now_us < self.from_us) | (now_us >= self.until_us)
        edges = np.concatenate((self.from_us, self.until_us))
        return Moment(
            self,
            Unavailable.of(self.rows[outside], self.num_items),
            since_us=int(edges.max(where=edges <= now_us, initial=_ALWAYS_US)),
            until_us=int(edges.min(where=edges > now_us, initial=_NEVER_US)),
        )


@dataclass(frozen=True, slots=True)
class Moment:
    """What is unavailable between two edges of windows: from `since_us` on and before `until_us`."""

    windows: Windows
    unavailable: Unavailable
    since_us: int
    until_us: int


class AvailabilitySlot:
    """Holds the newest snapshot, and what it means for the model that was asked about last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._moment: Moment | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """None before the first."""
        return self._snapshot

    def replace(self, snapshot: Snapshot, windows: Windows | None) -> None:
        """Makes the snapshot count from the next request on. `windows`: its own for the model that serves, if known."""
        moment = None if windows is None else windows.at(self._now_us())
        self._snapshot, self._moment = snapshot, moment

    def of(self, model: ServingModel) -> Unavailable:
        """What the model may not show now."""
        snapshot = self._snapshot
        if snapshot is None:
            return Unavailable.of(NO_ROWS, model.index.num_items, is_known=False)
        moment, now_us = self._moment, self._now_us()
        if moment is None or moment.windows.model_version != model.version or moment.windows.snapshot is not snapshot:
            self._moment = moment = Windows.of(snapshot, model).at(now_us)
        elif not moment.since_us <= now_us < moment.until_us:
            self._moment = moment = moment.windows.at(now_us)
        return moment.unavailable

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


def _from_us(availability: Availability) -> int:
    if availability.hidden:
        return _NEVER_US
    return _ALWAYS_US if availability.from_us is None else availability.from_us


def _until_us(availability: Availability) -> int:
    return _NEVER_US if availability.until_us is None else availability.until_us
