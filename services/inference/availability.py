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
from services.inference.excluded import NO_ROWS, Excluded, Flags, Rows
from services.inference.serving_model import ServingModel

_ALWAYS_US: Final = np.iinfo(np.int64).min
_NEVER_US: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every item that may not always be shown, as of one version of the catalog."""

    version: int
    restricted: Mapping[ItemId, Availability]
    is_recalled: bool = False
    """True while a worker goes by a file of its host, since the catalog has not answered it yet."""

    def after(self, changes: AvailabilityChanges) -> "Snapshot":
        """The snapshot of the version that these changes lead to."""
        restricted = dict(self.restricted)
        for item_id, each in changes.items.items():
            if each.is_restricted:
                restricted[item_id] = each
            else:
                restricted.pop(item_id, None)
        return Snapshot(changes.version, restricted)


EMPTY: Final = Snapshot(0, {})


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The items of one model that are in no answer at one moment."""

    rows: Rows
    """Their rows, ascending."""
    version: str
    """A fingerprint of the rows, hexadecimal: answers of one model differ by it only when the rows do. Empty: none."""
    is_known: bool
    """False while the catalog has not answered since the worker started; the rows are then what is remembered."""
    flags: Flags

    @classmethod
    def of(cls, rows: Rows, flags: Flags, *, is_known: bool = True) -> Self:
        """rows: where flags, of which there is one for each row, are true."""
        version = blake2b(rows.astype("<u4").tobytes(), digest_size=8).hexdigest() if len(rows) else ""
        return cls(rows, version, is_known, flags)

    @property
    def excluded(self) -> Excluded:
        """These alone."""
        return Excluded(NO_ROWS, self.flags, len(self.rows))

    def and_rows(self, others: Rows) -> Excluded:
        """These and the others, which are different ones."""
        return Excluded.of(others, self.flags, len(self.rows))

    def without(self, rows: Rows) -> Rows:
        """Those of the rows that may be shown, in their order."""
        return rows[~self.flags[rows]]


@dataclass(frozen=True, slots=True)
class Windows:
    """A snapshot in rows of one model: from when until when each item may be shown. Row 0 is none."""

    snapshot: Snapshot
    model_version: ModelVersion
    from_us: npt.NDArray[np.int64]
    until_us: npt.NDArray[np.int64]

    @classmethod
    def of(cls, snapshot: Snapshot, model: ServingModel) -> Self:
        """Blocks for about two microseconds a restricted item."""
        length = model.index.num_items + 1
        from_us, until_us = np.full(length, _ALWAYS_US), np.full(length, _NEVER_US)
        _write(from_us, until_us, snapshot.restricted, model)
        return cls(snapshot, model.version, from_us, until_us)

    def after(self, snapshot: Snapshot, changes: AvailabilityChanges, model: ServingModel) -> "Windows":
        """The windows of the snapshot that these changes lead to, for the same model; costs what the changes cost."""
        from_us, until_us = self.from_us.copy(), self.until_us.copy()
        _write(from_us, until_us, changes.items, model)
        return Windows(snapshot, self.model_version, from_us, until_us)

    def are_of(self, snapshot: Snapshot, model: ServingModel) -> bool:
        return self.snapshot is snapshot and self.model_version == model.version

    def at(self, now_us: int) -> "Moment":
        outside = (now_us < self.from_us) | (now_us >= self.until_us)
        edges = np.concatenate((self.from_us, self.until_us))
        return Moment(
            self,
            Unavailable.of(np.flatnonzero(outside), outside, is_known=not self.snapshot.is_recalled),
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
    """Holds the newest snapshot, and what it means for the model that was asked about last.

    `of` is for the event loop; the rest may be called from threads, and is seen by `of` whole or not at all.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._prepared: Windows | None = None
        self._moment: Moment | None = None

    @property
    def snapshot(self) -> Snapshot | None:
        """None before the first."""
        return self._snapshot

    @property
    def windows(self) -> Windows | None:
        """The newest that were worked out, for whichever model; None before the first."""
        prepared, moment = self._prepared, self._moment
        if prepared is not None and prepared.snapshot is self._snapshot:
            return prepared
        return None if moment is None else moment.windows

    def replace(self, snapshot: Snapshot, windows: Windows | None) -> None:
        """Makes the snapshot count from the next request on. `windows`: its own for the model that serves, if known."""
        self._prepared = windows
        self._snapshot = snapshot

    def prepare(self, model: ServingModel) -> None:
        """Works out what the snapshot means for a model that is about to serve; blocks, in any thread."""
        snapshot = self._snapshot
        if snapshot is not None:
            self._prepared = Windows.of(snapshot, model)

    def of(self, model: ServingModel) -> Unavailable:
        """What the model may not show now."""
        snapshot = self._snapshot
        if snapshot is None:
            return Unavailable.of(NO_ROWS, np.zeros(model.index.num_items + 1, dtype=np.bool_), is_known=False)
        moment, prepared, now_us = self._moment, self._prepared, self._now_us()
        if moment is None or not moment.windows.are_of(snapshot, model):
            if prepared is None or not prepared.are_of(snapshot, model):
                prepared = Windows.of(snapshot, model)
            self._moment = moment = prepared.at(now_us)
        elif not moment.since_us <= now_us < moment.until_us:
            self._moment = moment = moment.windows.at(now_us)
        return moment.unavailable

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


def _write(
    from_us: npt.NDArray[np.int64],
    until_us: npt.NDArray[np.int64],
    items: Mapping[ItemId, Availability],
    model: ServingModel,
) -> None:
    item_rows = model.vocabulary.item_rows
    for item_id, each in items.items():
        row = item_rows.get(item_id)
        if row is not None:
            from_us[row], until_us[row] = _from_us(each), _until_us(each)


def _from_us(availability: Availability) -> int:
    if availability.hidden:
        return _NEVER_US
    return _ALWAYS_US if availability.from_us is None else availability.from_us


def _until_us(availability: Availability) -> int:
    return _NEVER_US if availability.until_us is None else availability.until_us
