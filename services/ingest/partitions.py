"""Where a writer reads on when a partition comes to it."""

from collections.abc import Mapping, Sequence

from services.domain.streams import Partition


class FromCommittedOffsets:
    """A PartitionListener for writers whose work may be repeated: they go on from the group's committed offsets."""

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        del partitions
        return {}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        del partitions
