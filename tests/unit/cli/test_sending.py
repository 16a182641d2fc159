"""Data sets go out as the contract's messages, and nothing that is known of them is lost on the way."""

from hypothesis import given
from hypothesis import strategies as st

from services.cli.datasets.sending import item_message
from services.domain.ids import ItemId
from services.domain.items import Availability, Item, Price
from services.domain.streams import Partition, Record
from services.ingest.codec import Limits, decode_item

NOW_US = 1_769_904_000_000_000  # 2026-02-01
words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=10)
windows = st.builds(
    Availability,
    st.booleans(),
    st.none() | st.integers(0, NOW_US - 1),
    st.none() | st.integers(NOW_US, 2 * NOW_US),
)


@given(
    st.builds(
        Item,
        words.map(ItemId),
        words,
        st.lists(words, max_size=3).map(tuple),
        st.dictionaries(words, words, max_size=3),
        st.integers(0, NOW_US),
        words,
        st.lists(words, max_size=3).map(tuple),
        st.none() | st.builds(Price, st.just("EUR"), st.integers(0, 2**63 - 1), st.integers(0, 999_999_999)),
        windows,
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
    )
)
def test_an_item_that_is_sent_is_the_item_that_is_read(item: Item) -> None:
    record = Record(Partition("items", 0), 0, item_message(item).SerializeToString(), "application/x-protobuf")
    assert decode_item(record, Limits(65_536, 0), NOW_US) == item
