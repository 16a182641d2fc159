"""The user writer: users from their compacted topic into the catalog database, and the wish to be forgotten at once."""

from collections.abc import Mapping, Sequence

from services.domain.ports import Clock, DeadLetters, UserDirectory, UserForgetter
from services.domain.streams import DeadLetter, Partition, Record
from services.domain.users import Erasure, User
from services.ingest.codec import Limits, decode_user


class UserWriter:
    """Stores user records; repeating one changes nothing.

    A tombstone is noted in the directory first, where housekeeping finds it, then the online store forgets what the
    user did until then.
    """

    def __init__(
        self,
        directory: UserDirectory,
        online: UserForgetter,
        dead_letters: DeadLetters,
        clock: Clock,
        *,
        limits: Limits,
    ) -> None:
        self._directory = directory
        self._online = online
        self._dead_letters = dead_letters
        self._clock = clock
        self._limits = limits

    def apply(self, records: Sequence[Record]) -> Mapping[Partition, int]:
        """Stores and forgets what the records say; returns the offsets then done.

        Raises CatalogDown, FeatureStoreDown or BrokerDown; whatever was done before may be done again. Dead letters go
        last: the stores alone bear that.
        """
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        decoded = [decode_user(record, self._limits, now_us) for record in records]
        self._directory.upsert([each for each in decoded if isinstance(each, User)])
        wishes = [each for each in decoded if isinstance(each, Erasure)]
        if wishes:
            self._directory.request_erasures(wishes)
            self._online.forget(wishes)
        letters = [each for each in decoded if isinstance(each, DeadLetter)]
        if letters:
            self._dead_letters.send(letters)
        return {record.partition: record.offset + 1 for record in records}
