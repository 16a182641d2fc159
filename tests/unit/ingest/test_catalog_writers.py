"""The writers of items and users: what they store, whom they tell, and in which order."""

import threading
from collections.abc import Callable, Sequence

import pytest

from services.domain.errors import BrokerDown, CatalogDown, FeatureStoreDown, NightjarError
from services.domain.ids import ItemId, UserId
from services.domain.items import Item
from services.domain.streams import Partition, Record
from services.domain.users import Erasure
from services.ingest.catalog_writer import CatalogWriter
from services.ingest.codec import Limits
from services.ingest.side_by_side import AfterAll, run_side_by_side
from services.ingest.user_writer import UserWriter
from tests.fakes.clock import FakeClock
from tests.fakes.item_catalog import FakeItemCatalog
from tests.fakes.notice import RecordingNotice
from tests.fakes.streams import FakeDeadLetters
from tests.fakes.user_directory import FakeUserDirectory

LIMITS = Limits(max_record_bytes=65_536, max_future_us=86_400_000_000)
PARTITION = Partition("catalog", 0)


def records(*values: bytes | None, key: bytes = b"ada") -> list[Record]:
    return [Record(PARTITION, offset, value, "", key, 1_000) for offset, value in enumerate(values)]


def item(item_id: str, second: int, *, hidden: bool = False) -> bytes:
    flag = ',"hidden":true' if hidden else ""
    return f'{{"itemId":"{item_id}","updateTime":"2025-01-01T00:00:0{second}Z"{flag}}}'.encode()


def test_serving_is_told_once_that_items_were_hidden_and_not_of_anything_else() -> None:
    catalog, notice, letters = FakeItemCatalog(), RecordingNotice(), FakeDeadLetters()
    writer = CatalogWriter(catalog, notice, letters, FakeClock(), limits=LIMITS)
    writer.apply(records(item("a", 1), item("b", 1)))
    assert notice.generations == []
    hiding = records(item("a", 2, hidden=True), b"broken", item("b", 2, hidden=True))
    assert writer.apply(hiding) == {PARTITION: 3}
    assert writer.apply(hiding) == {PARTITION: 3}
    assert notice.generations == [1]
    assert len(letters.letters) == 2  # one a reading: dead letters are at least once
    assert catalog.get([ItemId("a")])[ItemId("a")].availability.hidden


class RefusingCatalog(FakeItemCatalog):
    """Refuses the first calls."""

    num_refusals = 3

    def upsert(self, items: Sequence[Item]) -> int | None:
        if self.num_refusals:
            self.num_refusals -= 1
            raise CatalogDown("The database is down; the test said so.")
        return super().upsert(items)


def test_a_bad_record_is_one_dead_letter_however_often_the_database_refuses() -> None:
    letters = FakeDeadLetters()
    writer = CatalogWriter(RefusingCatalog(), RecordingNotice(), letters, FakeClock(), limits=LIMITS)
    apply_until_done(writer.apply, records(b"broken", item("a", 1)))
    assert [letter.record.offset for letter in letters.letters] == [0]


def test_a_bad_user_record_is_one_dead_letter_however_often_redis_refuses() -> None:
    online, letters = OnlineStore(), FakeDeadLetters()
    online.num_refusals = 3
    writer = UserWriter(FakeUserDirectory(), online, letters, FakeClock(), limits=LIMITS)
    apply_until_done(writer.apply, records(b"broken", None))
    assert [letter.record.offset for letter in letters.letters] == [0]
    assert online.forgotten == [Erasure(UserId("ada"), 1_000)]


def apply_until_done(apply: Callable[[Sequence[Record]], object], read: Sequence[Record]) -> None:
    for _ in range(3):
        with pytest.raises(NightjarError):
            apply(read)
    apply(read)


class OnlineStore:
    """Remembers whom it forgot; refuses as often as it is told."""

    def __init__(self) -> None:
        self.forgotten: list[Erasure] = []
        self.num_refusals = 0

    def forget(self, wishes: Sequence[Erasure]) -> None:
        if self.num_refusals:
            self.num_refusals -= 1
            raise FeatureStoreDown("Redis is down; the test said so.")
        self.forgotten += wishes


def user(second: int) -> bytes:
    return f'{{"userId":"ada","attributes":{{"n":"{second}"}},"updateTime":"2025-01-01T00:00:0{second}Z"}}'.encode()


def test_a_tombstone_forgets_at_once_and_is_noted_for_housekeeping() -> None:
    directory, online, letters = FakeUserDirectory(), OnlineStore(), FakeDeadLetters()
    writer = UserWriter(directory, online, letters, FakeClock(), limits=LIMITS)
    late = Record(PARTITION, 2, None, "", b"ada", 1_735_689_601_500_000)  # 2025-01-01T00:00:01.5Z
    assert writer.apply([*records(user(1), b"broken"), late]) == {PARTITION: 3}
    ada = UserId("ada")
    assert directory.get([ada]) == {}
    assert directory.open_erasures() == [Erasure(ada, 1_735_689_601_500_000)]
    assert online.forgotten == [Erasure(ada, 1_735_689_601_500_000)]
    assert [letter.record.offset for letter in letters.letters] == [1]
    writer.apply(records(user(2)))
    assert directory.get([ada])[ada].attributes == {"n": "2"}
    assert online.forgotten == [Erasure(ada, 1_735_689_601_500_000)]


def test_a_wish_is_noted_though_redis_is_down_and_done_when_it_is_back() -> None:
    """Law 6: the loop tries again until the online store has forgotten too."""
    directory, online = FakeUserDirectory(), OnlineStore()
    writer = UserWriter(directory, online, FakeDeadLetters(), FakeClock(), limits=LIMITS)
    online.num_refusals = 1
    with pytest.raises(FeatureStoreDown):
        writer.apply(records(None))
    assert directory.open_erasures() == [Erasure(UserId("ada"), 1_000)]
    writer.apply(records(None))
    assert online.forgotten == [Erasure(UserId("ada"), 1_000)]
    assert directory.open_erasures() == [Erasure(UserId("ada"), 1_000)]


def test_one_failing_loop_ends_the_others_and_is_what_is_raised() -> None:
    stop, ended = threading.Event(), list[str]()

    def waits() -> None:
        assert stop.wait(timeout=10)
        ended.append("waits")

    def fails() -> None:
        raise BrokerDown("the brokers are gone; the test said so")

    with pytest.raises(BrokerDown):
        run_side_by_side([waits, fails], stop)
    assert ended == ["waits"]


def test_readiness_is_said_when_the_last_one_is_ready() -> None:
    said = list[str]()
    joined = AfterAll(2, lambda: said.append("ready"))
    joined()
    assert said == []
    joined()
    assert said == ["ready"]
