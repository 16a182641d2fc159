"""docs/asyncapi.yaml says what the code does: it is not stale, is well formed, and its examples and bounds are true."""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from google.protobuf.message import Message

from deploy.asyncapi_topics import LIMITS, Topic, topics
from deploy.generate_asyncapi import DOCUMENT, text
from nightjar.v1 import event_pb2, item_pb2, user_pb2
from services.adapters.kafka_admin import topic_specs
from services.adapters.kafka_source import _headers
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.ingest.codec import Limits, decode_event, decode_item, decode_user
from services.settings import KafkaSettings

WRITTEN: dict[str, Any] = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
NOW_US = 1_800_000_000_000_000
ANY_SIZE = Limits(max_record_bytes=1_000_000, max_future_us=0)
MESSAGES: Mapping[str, type[Message]] = {"Event": event_pb2.Event, "Item": item_pb2.Item, "User": user_pb2.User}
DECODERS: Mapping[str, Callable[[Record], Any]] = {
    "Event": lambda record: decode_event(record, DEFAULT_EVENT_TYPES, ANY_SIZE, NOW_US),
    "Item": lambda record: decode_item(record, ANY_SIZE, NOW_US),
    "User": lambda record: decode_user(record, ANY_SIZE, NOW_US),
}
TOPICS = {topic.message: topic for topic in topics()}


def decode(message: str, key: str, payload: object, content_type: str = "application/json") -> Any:
    value = None if payload is None else payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    topic = TOPICS[message]
    record = Record(Partition(topic.address, 0), 0, value, content_type if value is not None else "", key.encode())
    return DECODERS[message](record)


def examples(topic: Topic) -> list[dict[str, Any]]:
    return list(WRITTEN["components"]["messages"][f"{topic.channel}Json"]["examples"])


def full_example(message: str) -> dict[str, Any]:
    """The example that has the most fields."""
    payloads = [example["payload"] for example in examples(TOPICS[message]) if example["payload"]]
    return deepcopy(max(payloads, key=len))


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_it_is_not_stale() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == text(), "run `make proto`"


def test_it_has_what_asyncapi_3_requires() -> None:
    """The specification's required fields, and that every reference leads somewhere."""
    assert WRITTEN["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(WRITTEN["info"])
    for operation in WRITTEN["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"]["$ref"].startswith("#/channels/")
    for name, channel in WRITTEN["channels"].items():
        assert name.isidentifier()
        assert channel["address"]
        assert channel["messages"]
    for message in WRITTEN["components"]["messages"].values():
        payload = message["payload"]
        assert ("schemaFormat" in payload) == ("schema" in payload)
    for reference in references(WRITTEN):
        if reference.startswith("#/"):
            node: Any = WRITTEN
            for part in reference.removeprefix("#/").split("/"):
                node = node[part]
        else:
            assert (DOCUMENT.parent / reference).is_file(), reference


def test_its_topics_are_those_that_the_stack_creates() -> None:
    kafka = KafkaSettings()
    specs = topic_specs(kafka.events_topic, kafka.items_topic, kafka.users_topic, kafka.num_partitions)
    told = {channel["address"]: channel["bindings"]["kafka"] for channel in WRITTEN["channels"].values()}
    assert sorted(told) == sorted(spec.name for spec in specs)
    for spec in specs:
        binding = told[spec.name]
        assert binding["partitions"] == spec.num_partitions
        policy = spec.configs.get("cleanup.policy", "delete")
        assert binding["topicConfiguration"]["cleanup.policy"] == [policy]


@pytest.mark.parametrize("message", MESSAGES)
def test_every_example_is_read(message: str) -> None:
    """In JSON and, as the same message, in protobuf under each of its content types."""
    own = WRITTEN["components"]["messages"][f"{TOPICS[message].channel}Protobuf"]
    for example in examples(TOPICS[message]):
        decoded = decode(message, example["x-key"], example["payload"])
        assert not isinstance(decoded, DeadLetter), decoded
        if example["payload"] is None:
            continue
        wire = json_format.ParseDict(example["payload"], MESSAGES[message](), ignore_unknown_fields=True)
        for content_type in own["headers"]["properties"]["content-type"]["enum"]:
            again = decode(message, example["x-key"], wire.SerializeToString(), content_type)
            assert not isinstance(again, DeadLetter), again


@pytest.mark.parametrize("message", MESSAGES)
def test_what_is_required_is_and_nothing_else(message: str) -> None:
    required = set(WRITTEN["components"]["schemas"][message]["required"])
    full = full_example(message)
    key = full.get("userId", full.get("itemId", ""))
    for field in full:
        rest = {name: value for name, value in full.items() if name != field}
        assert isinstance(decode(message, key, rest), DeadLetter) == (field in required), field
    assert required <= set(full)


@pytest.mark.parametrize(("message", "field"), LIMITS)
def test_every_bound_is_the_codecs(message: str, field: str) -> None:
    """At the bound a record is read, one beyond it is dead."""
    schema = WRITTEN["components"]["schemas"][message]["properties"][camel(field.removesuffix("*"))]
    limits = LIMITS[message, field]
    assert limits.items() <= (schema["items"] if field.endswith("*") else schema).items()
    for keyword, bound in limits.items():
        beyond = bound - 1 if keyword.startswith("min") else bound + 1
        assert not is_dead(message, field, keyword, bound)
        assert is_dead(message, field, keyword, beyond)


def camel(field: str) -> str:
    first, *rest = field.split("_")
    return first + "".join(word.title() for word in rest)


def is_dead(message: str, field: str, keyword: str, size: int) -> bool:
    value: object
    match keyword:
        case "maxItems":
            value = [1.0 if field == "embedding" else "x"] * size
        case "maxProperties":
            value = {str(number): "x" for number in range(size)}
        case _:
            value = ["x" * size] if field.endswith("*") else "x" * size
    payload = full_example(message) | {camel(field.removesuffix("*")): value}
    return isinstance(decode(message, str(payload.get("userId", "")), payload), DeadLetter)


def test_every_reason_and_header_of_a_dead_letter_is_listed() -> None:
    told = WRITTEN["components"]["schemas"]["DeadLetterHeaders"]
    assert told["properties"]["reason"]["enum"] == [reason.value for reason in DeadReason]
    cut = Record(Partition("t", 3), 7, b"x" * 2_000_000, "text/plain", b"k")
    plain = Record(Partition("t", 3), 7, None)
    most = dict(_headers(DeadLetter(cut, DeadReason.MALFORMED, "why")))
    least = dict(_headers(DeadLetter(plain, DeadReason.MALFORMED, "why")))
    assert set(told["properties"]) == set(most)
    assert set(told["required"]) == set(least)


@pytest.mark.parametrize("message", [*MESSAGES, "Price"])
def test_every_field_is_told_with_the_contracts_own_words(message: str) -> None:
    descriptor = (MESSAGES.get(message) or item_pb2.Price).DESCRIPTOR
    properties = WRITTEN["components"]["schemas"][message]["properties"]
    assert list(properties) == [field.json_name for field in descriptor.fields]
    assert all(schema["description"] for schema in properties.values())
