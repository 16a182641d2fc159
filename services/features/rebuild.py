"""Redis made again from the log, while serving and the online writer go on; it ends as the live path would have it.

Histories are applied as the live path applies them, and repeating an event changes nothing. Counters are made anew in
copies that nobody reads, each partition's events in the order of their offsets, as the live path counts them; then each
copy takes its shard's place with its fence in one step. The online writer sees its fence set back and reads on from it.

What a user did before they asked to be forgotten stays out, though the log may hold it until housekeeping is through,
or again, when it came late. Users who did nothing for as long as a history is kept stay unknown; the others are kept as
if they had acted now.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from services.domain.counters import IMPORTED, CounterBatch, Shard, shard_of
from services.domain.erased import ErasedUsers
from services.domain.errors import RebuildConflict
from services.domain.event_selection import LoggedEvents
from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.ports import CounterRebuilder, EventsByOffset, HistoryWriter, UserDirectory
from services.domain.streams import Partition

# What came into the log meanwhile is read as well, until so few events are left to the online writer to read again.
# Larger: the counters jump further back; smaller: more versions of the log are read.
_FEW_EVENTS: Final = 20_000
_MAX_ROUNDS: Final = 5  # a log that grows faster than it is read is not caught up with


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild read, and from where the online writer reads on."""

    first_version: int
    """The pinned version of the log that was read whole."""
    last_version: int
    """The version up to which partitions were read on."""
    num_events: int
    num_imported: int
    """Those of the events that did not come from the topic."""
    fences: Mapping[Partition, int]


class Rebuild:
    """One rebuild; `report` is told now and then how many events have been read.

    known_since_us: users who did nothing since then get no history.
    """

    def __init__(
        self,
        log: EventsByOffset,
        histories: HistoryWriter,
        copies: CounterRebuilder,
        topic: str,
        users: UserDirectory,
        known_since_us: int,
        report: Callable[[int], None],
    ) -> None:
        self._log = log
        self._histories = histories
        self._copies = copies
        self._topic = topic
        self._users = users
        self._erased = ErasedUsers()
        self._known_since_us = known_since_us
        self._known: Collection[UserId] = ()
        self._report = report
        self._num_events = 0

    def run(self) -> Rebuilt:
        """Raises CatalogDown, EventLogDown, FeatureStoreDown and RebuildConflict; an ended one may be begun again."""
        self._erased.learn(self._users.erasures())
        first = version = self._log.version()
        self._known = () if version < 0 else self._log.users_since(version, self._known_since_us)
        done: dict[Partition, int] = {}
        target = {} if version < 0 else dict(self._log.next_offsets(version, self._topic))
        self._copies.discard([IMPORTED, *map(shard_of, target)])
        num_imported = 0 if version < 0 else self._read_imported(version)
        for _ in range(_MAX_ROUNDS):
            self._copies.discard([shard_of(partition) for partition in target if partition not in done])
            for partition, next_offset in target.items():
                self._read_partition(version, partition, done.get(partition, 0), next_offset)
            done |= target
            version = self._log.version()
            target = {} if version < 0 else dict(self._log.next_offsets(version, self._topic))
            if sum(offset - done.get(partition, 0) for partition, offset in target.items()) < _FEW_EVENTS:
                break
        for shard in (IMPORTED, *map(shard_of, done)):
            self._copies.publish(shard)
        # Who asked meanwhile was forgotten at once, and may have been written again since.
        self._histories.forget(self._erased.learn(self._users.erasures()))
        return Rebuilt(first, version, self._num_events, num_imported, done)

    def _read_imported(self, version: int) -> int:
        """They have no offsets: their numbers in the log's order stand for them."""
        number = 0
        for events in self._log.read_others(version, self._topic):
            self._apply(IMPORTED, number, number + len(events.interactions), range(number, 2**53), events)
            number += len(events.interactions)
        return number

    def _read_partition(self, version: int, partition: Partition, from_offset: int, next_offset: int) -> None:
        shard = shard_of(partition)
        for events in self._log.read(version, partition, from_offset, next_offset):
            offsets = [source[1] for source in events.sources if source is not None]
            self._apply(shard, from_offset, offsets[-1] + 1, offsets, events)
            from_offset = offsets[-1] + 1
        if from_offset < next_offset:  # what lies behind the last event was dead, or a duplicate
            self._count(CounterBatch(shard, from_offset, next_offset, []))

    def _apply(
        self, shard: Shard, from_offset: int, next_offset: int, offsets: Iterable[int], events: LoggedEvents
    ) -> None:
        numbered = [
            each for each in zip(offsets, events.interactions, strict=False) if not self._erased.covers(each[1])
        ]
        self._histories.apply(event for _, event in numbered if self._is_known(event))
        self._count(CounterBatch(shard, from_offset, next_offset, numbered))
        self._num_events += len(events.interactions)
        self._report(self._num_events)

    def _is_known(self, event: Interaction) -> bool:
        return event.event_time_us >= self._known_since_us or event.user_id in self._known

    def _count(self, batch: CounterBatch) -> None:
        fence = self._copies.apply([batch])[batch.shard]
        if fence != batch.next_offset:
            raise RebuildConflict(
                f"Another rebuild is at work on {batch.shard} (it is at {fence}); wait for it, then start again."
            )
