"""The catalog writer: items from their compacted topic into the catalog database; the newest update_time wins."""

from collections.abc import Mapping, Sequence

from services.domain.items import Item
from services.domain.ports import Clock, DeadLetters, ItemCatalog, Notice
from services.domain.streams import DeadLetter, Partition, Record
from services.ingest.codec import Limits, decode_item


class CatalogWriter:
    """Stores item records, and tells serving when any was hidden or shown; repeating a record changes nothing."""

    def __init__(
        self,
        catalog: ItemCatalog,
        notice: Notice,
        dead_letters: DeadLetters,
        clock: Clock,
        *,
        limits: Limits,
    ) -> None:
        self._catalog = catalog
        self._notice = notice
        self._dead_letters = dead_letters
        self._clock = clock
        self._limits = limits

    def apply(self, records: Sequence[Record]) -> Mapping[Partition, int]:
        """Stores the items among the records; returns the offsets then done. Raises CatalogDown or BrokerDown.

        Dead letters go last: all is done again while the store is down, and it alone bears that.
        """
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        decoded = [decode_item(record, self._limits, now_us) for record in records]
        version = self._catalog.upsert([each for each in decoded if isinstance(each, Item)])
        if version is not None:
            self._notice.announce(version)
        letters = [each for each in decoded if isinstance(each, DeadLetter)]
        if letters:
            self._dead_letters.send(letters)
        return {record.partition: record.offset + 1 for record in records}
