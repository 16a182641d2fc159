"""A list as it is cached."""

import zlib
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.ids import ModelVersion
from services.inference.candidates import ORIGINS
from services.inference.listing import Listing

V1 = ModelVersion("v1")
LISTING = Listing(
    np.array([3, 1, 2]), np.array([1.5, -2.0, 0.1], np.float32), np.array([0, 3, 4], np.uint8), has_more=True
)
VALUE = LISTING.encoded(V1, "h1")


def same(found: Listing | None) -> bool:
    return found is not None and (
        found.rows.tolist(),
        found.scores.tolist(),
        found.origins.tolist(),
        found.has_more,
    ) == (LISTING.rows.tolist(), LISTING.scores.tolist(), LISTING.origins.tolist(), LISTING.has_more)


def test_it_comes_back_as_it_was() -> None:
    assert same(Listing.decoded(V1, "h1", 3, VALUE))
    empty = Listing.decoded(V1, "", 3, Listing.empty().encoded(V1, ""))
    assert empty is not None
    assert len(empty.rows) == 0


def test_one_of_another_model_or_history_is_none() -> None:
    """Law 3; and the versions must not run together."""
    assert Listing.decoded(ModelVersion("v2"), "h1", 3, VALUE) is None
    assert Listing.decoded(V1, "h2", 3, VALUE) is None
    assert Listing.decoded(ModelVersion("v1h"), "1", 3, VALUE) is None


def test_another_history_of_the_same_sum_is_another_history() -> None:
    """A sum of 32 bits is no fingerprint: among so many versions two share one."""
    sums, random = dict[int, str](), Random(1)
    for _ in range(1_000_000):
        version = f"{random.getrandbits(64):016x}"
        other = sums.setdefault(zlib.crc32(version.encode()), version)
        if other != version:
            break
    else:
        pytest.fail("no two share a sum")
    assert Listing.decoded(V1, other, 3, LISTING.encoded(V1, other)) is not None
    assert Listing.decoded(V1, version, 3, LISTING.encoded(V1, other)) is None


def test_rows_and_origins_that_there_are_not_are_none() -> None:
    assert Listing.decoded(V1, "h1", 2, VALUE) is None
    odd = Listing(LISTING.rows, LISTING.scores, np.full(3, len(ORIGINS), np.uint8), has_more=False)
    assert Listing.decoded(V1, "h1", 3, odd.encoded(V1, "h1")) is None


@given(st.integers(0, 8 * len(VALUE) - 1))
def test_a_value_with_any_bit_flipped_is_none(bit: int) -> None:
    broken = bytearray(VALUE)
    broken[bit // 8] ^= 1 << bit % 8
    assert Listing.decoded(V1, "h1", 3, bytes(broken)) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_none(value: bytes) -> None:
    assert Listing.decoded(V1, "h1", 3, value) is None
