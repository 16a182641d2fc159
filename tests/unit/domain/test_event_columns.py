"""Columns of numbers say what the words said."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.domain.event_columns import Words

texts = st.lists(st.text(max_size=3), max_size=12)


@given(texts)
def test_a_column_spells_what_it_was_made_of_and_holds_each_word_once(column: list[str]) -> None:
    words = Words.of(column)
    assert words.spelled() == column
    assert list(words.words) == list(dict.fromkeys(column))


@given(texts, st.data())
def test_chosen_rows_spell_the_chosen_words_and_no_other_word_is_left(column: list[str], data: st.DataObject) -> None:
    which = data.draw(st.lists(st.booleans(), min_size=len(column), max_size=len(column)))
    left = Words.of(column).chosen(np.array(which, np.bool_))
    assert left.spelled() == [word for word, chosen in zip(column, which, strict=True) if chosen]
    assert set(left.words) == set(left.spelled())


def test_a_word_without_a_row_is_zero() -> None:
    assert Words.of(["b", "a", "b", "c"]).rows({"a": 7, "b": 9}).tolist() == [9, 7, 9, 0]
