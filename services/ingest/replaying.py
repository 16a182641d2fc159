"""Sending dead records again, each once in effect, whatever crashes in between.

The order is what makes it so:
1. the claim is remembered: who is sent, to which partition, and where that partition ended just before;
2. the record is sent, with its first place in a header;
3. the memory says that it was sent.
A crash between 1 and 3 leaves a claim open, and so does a Kafka so slow that the record might arrive after the claim's
lease: then it is not sent. Whoever comes after its lease looks in that partition, from the remembered
end on, for a record with that header: if it is there, only step 3 is done; if not, it was never sent.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Final

from services.domain.dead_letters import Replay, ReplayState
from services.domain.ports import Clock, RecordSender, ReplayMemory, StreamCluster, TopicReader
from services.domain.stored_records import OffsetRange, Position
from services.domain.streams import Partition, Record

REPLAY_HEADER: Final = "replay-of"
# How long a claim is another's business; no record of it arrives later. Larger: a crash is mended later; smaller: a
# slow Kafka gets less of a batch done.
LEASE: Final = timedelta(seconds=60)


class Outcome(StrEnum):
    SENT = "sent"
    """Sent now."""
    ALREADY_SENT = "already_sent"
    """It was sent before; nothing was sent now."""
    BEING_SENT = "being_sent"
    """Another command claimed it less than LEASE ago."""
    UNKNOWABLE = "unknowable"
    """An earlier try ended in between, and Kafka no longer holds the records that would tell."""
    OPEN = "open"
    """It was claimed but not sent, for Kafka was too slow; once LEASE is over it may be tried again."""


class Replaying:
    """Sends records again, keyed by where each was first. Blocking; raises BrokerDown and CatalogDown."""

    def __init__(
        self, memory: ReplayMemory, cluster: StreamCluster, reader: TopicReader, sender: RecordSender, clock: Clock
    ) -> None:
        self._memory = memory
        self._cluster = cluster
        self._reader = reader
        self._sender = sender
        self._clock = clock

    def known(self, sources: Collection[Position]) -> Mapping[Position, Outcome]:
        """What stands against sending these; a source that may be tried is left out. Changes nothing."""
        now = self._clock.now()
        found: dict[Position, Outcome] = {}
        for source, earlier in self._memory.recall(sources).items():
            if earlier.state is ReplayState.SENT:
                found[source] = Outcome.ALREADY_SENT
            elif now - earlier.claim_time < LEASE:
                found[source] = Outcome.BEING_SENT
        return found

    def replay(self, records: Mapping[Position, Record]) -> Mapping[Position, Outcome]:
        """Sends the records to their topics, those that may be sent. Their own partition and offset are unused."""
        outcomes = dict(self.known(records))
        open_claims = self._memory.recall([source for source in records if source not in outcomes])
        outcomes |= self._resolved(open_claims)
        wanted = {source: record for source, record in records.items() if source not in outcomes}
        targets = self._targets(wanted)
        claim_time = self._clock.now()
        claims = [Replay(source, targets[source], claim_time) for source in wanted]
        stale = {source: open_claims[source] for source in wanted if source in open_claims}
        mine = self._memory.claim(claims, stale)
        outcomes |= {source: Outcome.BEING_SENT for source in wanted if source not in mine}
        if not mine:
            return outcomes
        ordered = sorted(mine)
        addressed = [_addressed(wanted[source], targets[source], source) for source in ordered]
        left = LEASE - (self._clock.now() - claim_time)
        num_sent = self._sender.send(addressed, left.total_seconds())
        sent, unsent = ordered[:num_sent], ordered[num_sent:]
        self._memory.settle(sent)
        return outcomes | dict.fromkeys(sent, Outcome.SENT) | dict.fromkeys(unsent, Outcome.OPEN)

    def _resolved(self, open_claims: Mapping[Position, Replay]) -> Mapping[Position, Outcome]:
        """Of claims that somebody left open: those that arrived, settled now, and those nobody can know about."""
        if not open_claims:
            return {}
        kept = self._cluster.ranges({claim.target.partition for claim in open_claims.values()})
        lost = {
            source for source, claim in open_claims.items() if claim.target.offset < kept[claim.target.partition].first
        }
        arrived = self._arrived([claim for source, claim in open_claims.items() if source not in lost], kept)
        self._memory.settle(arrived)
        return dict.fromkeys(lost, Outcome.UNKNOWABLE) | dict.fromkeys(arrived, Outcome.ALREADY_SENT)

    def _arrived(self, claims: Sequence[Replay], kept: Mapping[Partition, OffsetRange]) -> frozenset[Position]:
        begins: defaultdict[Partition, list[int]] = defaultdict(list)
        for claim in claims:
            begins[claim.target.partition].append(claim.target.offset)
        ranges = {partition: OffsetRange(min(offsets), kept[partition].end) for partition, offsets in begins.items()}
        headers = {stored.headers.get(REPLAY_HEADER) for stored in self._reader.read(ranges)}
        return frozenset(claim.source for claim in claims if str(claim.source).encode() in headers)

    def _targets(self, records: Mapping[Position, Record]) -> Mapping[Position, Position]:
        places = {
            source: self._sender.place(source.partition.topic, record.key or b"") for source, record in records.items()
        }
        ends = self._ends(set(places.values()))
        return {source: Position(partition, ends[partition]) for source, partition in places.items()}

    def _ends(self, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        return {partition: kept.end for partition, kept in self._cluster.ranges(partitions).items()}


def _addressed(record: Record, target: Position, source: Position) -> tuple[Record, Mapping[str, bytes]]:
    return record._replace(partition=target.partition), {REPLAY_HEADER: str(source).encode()}
