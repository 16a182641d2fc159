"""A vocabulary says the same after a round trip, and what is no vocabulary is refused with what to do."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import BundleBroken
from services.domain.event_types import DEFAULT_EVENT_TYPES, EventType, EventTypes, Role
from services.domain.ids import ItemId
from services.domain.vocabulary import InputType, Vocabulary, input_types

RATING = InputType("rating", Role.POSITIVE, positive_from=4.0, negative_to=2.0)
VOCABULARY = Vocabulary((ItemId("a"), ItemId("漢")), (InputType("view", Role.POSITIVE), RATING))

roles = st.sampled_from([Role.POSITIVE, Role.NEGATIVE, Role.NEUTRAL])
thresholds = st.sampled_from([None, 0.0, 1.5])


@st.composite
def declared(draw: st.DrawFn) -> InputType:
    negative_to = draw(thresholds)
    positive_from = draw(st.none() | st.sampled_from([2.0, 3.5]))
    return InputType("rating", draw(roles), positive_from, negative_to)


def test_a_type_with_thresholds_has_a_row_for_each_role_they_can_give() -> None:
    assert VOCABULARY.event_type_labels == ("view", "rating+", "rating", "rating-")
    rows = VOCABULARY.event_type_rows["rating"]
    assert [rows.row(value) for value in (4.0, 3.0, 2.0, None)] == [2, 3, 4, 2]


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (InputType("like", Role.POSITIVE), ("like",)),
        (InputType("dislike", Role.NEGATIVE), ("dislike",)),
        (InputType("watch", Role.POSITIVE, positive_from=60), ("watch+", "watch")),
        (InputType("watch", Role.NEUTRAL, negative_to=5), ("watch", "watch-")),
        (InputType("watch", Role.POSITIVE, negative_to=5), ("watch+", "watch", "watch-")),
        (InputType("watch", Role.NEGATIVE, positive_from=60), ("watch+", "watch", "watch-")),
    ],
)
def test_roles_that_no_event_can_have_get_no_row(kind: InputType, labels: tuple[str, ...]) -> None:
    assert Vocabulary((), (kind,)).event_type_labels == labels


@given(declared(), st.lists(st.none() | st.floats(-5, 5) | st.sampled_from([0.0, 1.5, 2.0, 3.5, math.inf, -math.inf])))
def test_columns_are_read_as_single_events_are(kind: InputType, values: list[float | None]) -> None:
    """Law 8: training reads columns, serving reads events, and both judge as the event type does."""
    vocabulary = Vocabulary((), (InputType("view", Role.POSITIVE), kind))
    rows = vocabulary.event_type_rows["rating"]
    column = np.array([np.nan if value is None else value for value in values], np.float64)
    assert rows.rows(column).tolist() == [rows.row(value) for value in values]
    event_type = EventType(kind.name, kind.role, positive_from=kind.positive_from, negative_to=kind.negative_to)
    judged = [event_type.judge(value).role for value in values]
    assert [vocabulary.judged_types[row - 1] for row in rows.rows(column)] == [(kind, role) for role in judged]


@given(st.lists(declared(), max_size=1), st.lists(st.text(min_size=1), unique=True))
def test_a_round_trip_changes_nothing(kinds: list[InputType], item_ids: list[str]) -> None:
    words = Vocabulary(tuple(map(ItemId, item_ids)), (*kinds, InputType("view", Role.POSITIVE)))
    assert Vocabulary.from_json(words.to_json()) == words


def test_the_model_reads_all_declared_types_but_impressions() -> None:
    types = EventTypes(
        [*DEFAULT_EVENT_TYPES.declared, EventType("stars", Role.NEUTRAL, positive_from=4, negative_to=2)]
    )
    read = input_types(types)
    assert [kind.name for kind in read] == [name for name in types.names() if name != "impression"]
    assert read[-1] == InputType("stars", Role.NEUTRAL, 4, 2)


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def damage(stored: dict[str, Any]) -> None:
        *folders, name = path.split(".")
        at: Any = stored
        for folder in folders:
            at = at[int(folder)] if folder.isdigit() else at[folder]
        at[name] = value

    return damage


NONSENSE = {
    "no item ids": lambda stored: stored.pop("item_ids"),
    "an item twice": _set("item_ids", ["a", "a"]),
    "an item that is a number": _set("item_ids", [1, 2]),
    "no event types": lambda stored: stored.pop("event_types"),
    "event types as words, as format 1 had them": _set("event_types", ["view", "rating"]),
    "no labels": lambda stored: stored.pop("event_type_labels"),
    "labels of another order": lambda stored: stored["event_type_labels"].reverse(),
    "fewer labels than rows": lambda stored: stored["event_type_labels"].pop(),
    "a type twice": lambda stored: stored["event_types"].append(stored["event_types"][0]),
    "a type named as a row of another": _set("event_types.0.name", "rating+"),
    "a name that is no word": _set("event_types.0.name", 7),
    "an unknown role": _set("event_types.0.role", "glad"),
    "a role that no model reads": _set("event_types.0.role", "impression"),
    "a threshold left out": lambda stored: stored["event_types"][1].pop("negative_to"),
    "a threshold that is no number": _set("event_types.1.negative_to", "2"),
    "a threshold that is a truth": _set("event_types.1.negative_to", True),
    "a threshold that is not finite": _set("event_types.1.positive_from", float("inf")),
    "thresholds that overlap": _set("event_types.1.negative_to", 4.5),
    "a field nobody knows": _set("event_types.1.colour", "red"),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused(name: str) -> None:
    stored = json.loads(VOCABULARY.to_json())
    NONSENSE[name](stored)
    with pytest.raises(BundleBroken, match="vocabulary cannot be read"):
        Vocabulary.from_json(json.dumps(stored))


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "7", "{}", '{"item_ids": 1, "event_types": [], "event_type_labels": []}']
)
def test_what_is_no_vocabulary_at_all_is_refused(text: str) -> None:
    with pytest.raises(BundleBroken, match="vocabulary cannot be read"):
        Vocabulary.from_json(text)
