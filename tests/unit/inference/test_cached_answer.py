import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.domain.ids import ModelVersion
from services.inference.cached_answer import decode_answer, encode_answer

V1, V2 = ModelVersion("v1"), ModelVersion("v2")
H1 = "00ff"
"""The version of a history."""
ROWS = np.array([3, 1, 2], dtype=np.int64)
SCORES = np.array([0.5, 0.25, -1.5], dtype=np.float32)

LENGTH = len(encode_answer(V1, H1, ROWS, SCORES))

answers = st.lists(st.tuples(st.integers(1, 1000), st.floats(width=32, allow_nan=False)), max_size=20)


@given(answers)
def test_an_answer_comes_back_as_it_was_put(answer: list[tuple[int, float]]) -> None:
    rows = np.array([row for row, _ in answer], dtype=np.int64)
    scores = np.array([score for _, score in answer], dtype=np.float32)
    decoded = decode_answer(V1, H1, 1000, encode_answer(V1, H1, rows, scores))
    assert decoded is not None
    assert decoded[0].tolist() == rows.tolist()
    assert decoded[1].tolist() == scores.tolist()


@given(st.integers(0, LENGTH - 1), st.integers(1, 255))
def test_a_value_with_any_byte_changed_is_a_miss(place: int, difference: int) -> None:
    value = bytearray(encode_answer(V1, H1, ROWS, SCORES))
    value[place] ^= difference
    assert decode_answer(V1, H1, 1000, bytes(value)) is None


@given(st.integers(0, LENGTH - 1))
def test_a_value_cut_short_is_a_miss(length: int) -> None:
    assert decode_answer(V1, H1, 1000, encode_answer(V1, H1, ROWS, SCORES)[:length]) is None


def test_a_value_of_another_model_version_is_a_miss() -> None:
    assert decode_answer(V2, H1, 1000, encode_answer(V1, H1, ROWS, SCORES)) is None


@given(st.text(max_size=5), st.text(max_size=5))
def test_a_value_of_another_history_is_a_miss(one: str, other: str) -> None:
    """Whatever its rows: none of them run together with the version into another."""
    value = encode_answer(V1, one, ROWS, SCORES)
    assert (decode_answer(V1, other, 1000, value) is not None) == (one == other)


def test_a_row_that_the_model_does_not_have_is_a_miss() -> None:
    assert decode_answer(V1, H1, 2, encode_answer(V1, H1, ROWS, SCORES)) is None


@given(st.binary(max_size=64))
def test_bytes_of_somebody_else_are_a_miss(value: bytes) -> None:
    assert decode_answer(V1, H1, 1000, value) is None
