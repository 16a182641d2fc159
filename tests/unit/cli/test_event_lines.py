"""Events as people write them on the command line."""

import json
from datetime import UTC, datetime

import pytest

from services.cli.event_lines import read_events
from services.domain.errors import InvalidRequest
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.ingest.codec import Limits

LIMITS = Limits(max_record_bytes=1_000, max_future_us=86_400_000_000)


def test_a_line_is_an_event_in_the_contracts_names() -> None:
    """Proto3 JSON, in snake case or camel case; empty lines mean nothing."""
    lines = [
        '{"event_id": "e1", "user_id": "42", "item_id": "50", "type": "rating", "value": 5,'
        ' "event_time": "2026-01-31T12:00:00Z"}\n',
        "\n",
        '{"eventId": "e2", "userId": "42", "itemId": "51", "type": "view", "eventTime": "2026-01-31T13:00:00+01:00"}',
    ]
    first, second = read_events(lines, DEFAULT_EVENT_TYPES, LIMITS)
    assert (first.event_id, first.user_id, first.item_id, first.type, first.value) == ("e1", "42", "50", "rating", 5.0)
    assert first.event_time == second.event_time
    assert not second.HasField("value")


def test_a_missing_id_is_chosen_and_a_missing_time_is_now() -> None:
    line = '{"user_id": "42", "item_id": "50", "type": "view"}'
    before = datetime.now(UTC)
    first, second = read_events([line, line], DEFAULT_EVENT_TYPES, LIMITS)
    assert first.event_id
    assert first.event_id != second.event_id
    assert before <= first.event_time.ToDatetime(UTC) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("{", "line 2: is no event"),
        ('{"user_id": "42", "item": "50"}', 'line 2: is no event.*"item"'),
        ('{"user_id": "42", "item_id": "", "type": "view"}', "line 2: item_id is empty"),
        ('{"user_id": "42", "item_id": "50", "type": "veiw"}', "line 2: type 'veiw' is not declared.*impression, view"),
        ('{"user_id": "42", "item_id": "50", "type": "view", "value": "NaN"}', "line 2: value is nan"),
        ('{"user_id": "42", "item_id": "50", "type": "view", "event_time": "noon"}', "line 2: is no event"),
        (
            '{"user_id": "42", "item_id": "50", "type": "view", "event_time": "2999-01-01T00:00:00Z"}',
            "line 2: event would end as a dead letter, future_time: event_time lies .* s ahead",
        ),
        (
            json.dumps(
                {"user_id": "42", "item_id": "50", "type": "view", "attributes": dict.fromkeys("ab", 600 * "x")}
            ),
            "line 2: event would end as a dead letter, oversized: ",
        ),
    ],
)
def test_a_bad_line_is_named_with_its_field(line: str, sentence: str) -> None:
    """The events before it are there already; nothing of it or behind it is."""
    good = '{"user_id": "42", "item_id": "50", "type": "view"}'
    events = read_events([good, line, good], DEFAULT_EVENT_TYPES, LIMITS)
    assert next(events).user_id == "42"
    with pytest.raises(InvalidRequest, match=sentence):
        next(events)
