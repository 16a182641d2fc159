"""The ports: what the use cases ask of the outside. One contract suite each, run on the fake and on the real one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.domain.bundles import Manifest
from services.domain.ids import EventId, ItemId, ModelVersion, UserId
from services.domain.interactions import Interaction, Item, UserHistory
from services.domain.models import Assignment, Model, Verdict
from services.domain.streams import DeadLetter, LogBatch, Partition, Progress, Record


class Clock(Protocol):
    """The time, so that tests can set it."""

    def now(self) -> datetime:
        """The present moment, aware, UTC."""
        ...


class EventColumns(Protocol):
    """Events of the log as columns of equal length, sorted by (event_time, event_id)."""

    @property
    def user_ids(self) -> npt.NDArray[np.object_]: ...
    @property
    def item_ids(self) -> npt.NDArray[np.object_]: ...
    @property
    def event_types(self) -> npt.NDArray[np.object_]: ...
    @property
    def event_times_us(self) -> npt.NDArray[np.int64]: ...
    @property
    def values(self) -> npt.NDArray[np.float64]:
        """NaN where an event has none."""
        ...


class EventLog(Protocol):
    """The offline log. Appends are atomic: rows and progress together or not at all."""

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
        """The stored progress; a partition never appended to is left out."""
        ...

    def append(self, batch: LogBatch) -> int:
        """Appends and returns the new version.

        Raises EventLogConflict when a partition's stored progress is not the one this instance last read or wrote, so
        that another writer owns it now; EventLogDown when it cannot be written.
        """
        ...

    def recent_ids(self, window_us: int) -> Iterator[tuple[EventId, int]]:
        """Id and event_time_us of the events at most `window_us` of event time behind the newest one, in no order."""
        ...

    def version(self) -> int:
        """The newest version; -1 for a log that does not exist yet."""
        ...

    def num_events(self) -> int: ...

    def read(self, version: int, until_us: int | None = None) -> EventColumns:
        """All events of a pinned version before `until_us`."""
        ...


class RecordSource(Protocol):
    """Records of one consumer group. Partitions come and go; `start` says where a new one is read from."""

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """The next records, in order within a partition; may call the listener it was built with before it returns."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tells the brokers how far this group is, for the lag others see; best effort."""
        ...

    def close(self) -> None: ...


class PartitionListener(Protocol):
    """What a RecordSource tells its user when partitions come and go, while that user waits in `poll`.

    Must be quick: the group hears nothing of this member meanwhile.
    """

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Returns the offsets to read on from; a partition left out goes on from the group's committed offset."""
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None: ...


class DeadLetters(Protocol):
    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Blocks until the letters are stored; raises BrokerDown when they cannot be."""
        ...


class HistoryWriter(Protocol):
    """The online store's writing side. Idempotent: any order and repetition of events gives one state."""

    def apply(self, interactions: Sequence[Interaction]) -> None:
        """Blocks until applied; raises FeatureStoreDown."""
        ...


class HistoryReader(Protocol):
    """The online store's reading side, for serving."""

    async def read(self, user_id: UserId) -> UserHistory:
        """The user's history; an empty one for an unknown user. Raises FeatureStoreDown."""
        ...


class ResultCache(Protocol):
    """Best effort: a failing cache is a miss, never an error."""

    async def get(self, key: bytes) -> bytes | None: ...

    async def put(self, key: bytes, value: bytes) -> None: ...


class ItemCatalog(Protocol):
    def upsert(self, items: Sequence[Item]) -> None:
        """Stores each item unless a newer update_time is stored already; raises CatalogDown."""
        ...

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        """The known ones among them."""
        ...

    def count(self) -> int: ...


class ModelRegistrar(Protocol):
    """What training needs of the registry."""

    def register(self, model: Model) -> None:
        """Adds a version; may be repeated. Raises ValueError when it exists with other content, and CatalogDown."""
        ...


class ModelRegistry(ModelRegistrar, Protocol):
    """Versions, verdicts and the live assignment. Methods block; they raise CatalogDown when the database is gone."""

    def get(self, version: ModelVersion) -> Model:
        """Raises UnknownVersion."""
        ...

    def newest(self, limit: int) -> Sequence[Model]:
        """Newest first."""
        ...

    def judge(self, version: ModelVersion, verdict: Verdict) -> None:
        """Stores the gate's verdict; raises UnknownVersion."""
        ...

    def live(self) -> Assignment | None: ...

    def assignments(self, limit: int) -> Sequence[Assignment]:
        """The changes of the live model, newest first: the audit log."""
        ...

    def assign(
        self,
        version: ModelVersion,
        *,
        actor: str,
        reason: str,
        override: bool,
        expected_generation: int,
        restores: int | None = None,
    ) -> Assignment | None:
        """Makes a version live if the generation is still the expected one (0: there never was one), else None.

        `restores` marks a rollback, see Assignment. Raises UnknownVersion.
        """
        ...


class LiveModelNotice(Protocol):
    """Tells serving at once that the assignment changed. Losing a notice only delays: workers also poll."""

    def announce(self, generation: int) -> None: ...


class LiveModelNotices(Protocol):
    """The receiving side of LiveModelNotice."""

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as a notice came, False after the timeout or while notices cannot be received."""
        ...


class BundleStore(Protocol):
    """Published bundles, immutable once published."""

    def publish(self, draft: Path, manifest: Manifest) -> str:
        """Stores a folder of files under the manifest's version and returns its location.

        Sums are computed here and the manifest, with them, is written last; what was published never changes.
        Raises FileExistsError for a version that exists.
        """
        ...

    def fetch(self, location: str) -> Path:
        """A local folder whose every file was just compared with its sum, so no reader needs to hash it again.

        Raises BundleBroken, naming the file at fault.
        """
        ...
