"""The edge where an operator mends a dead record: fields set on it, or a whole new one from a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from services.domain.dead_letters import StoredLetter
from services.domain.errors import InvalidRequest, ReplayRefused
from services.domain.streams import Record
from services.ingest.codec.records import JSON_TYPES, PROTOBUF_TYPES

JSON: Final = "application/json"


def as_it_was(letter: StoredLetter) -> Record:
    """The record without any repair; raises ReplayRefused when the letter does not hold all of it."""
    if letter.full_size_bytes is not None:
        raise ReplayRefused(
            f"{letter.position} holds only the first {len(letter.value or b''):,} of {letter.full_size_bytes:,} bytes "
            "of its record; give the whole record with --file."
        )
    if letter.source is None:
        raise ReplayRefused(f"{letter.position} does not say which record it is of; Nightjar did not write it.")
    # A wish to be forgotten counts from when it was made; the letter was written right after.
    written_us = letter.time_us if letter.value is None else None
    source = letter.source
    return Record(source.partition, source.offset, letter.value, letter.content_type, letter.key, written_us)


def from_text(letter: StoredLetter, text: str) -> Record:
    """The record that stands in a file, in proto3 JSON, in place of the dead one."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidRequest("--file", f"holds no JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest("--file", "must hold one JSON object")
    whole = replace(letter, full_size_bytes=None)
    return as_it_was(whole)._replace(value=_json(document), content_type=JSON)


def with_fields(record: Record, message: Message, assignments: Sequence[str]) -> Record:
    """The record with `field=value` set; a field of a map is `attributes.color`, and `field=` takes the field away.

    message: an empty one of the topic's type. Everything else in the record stays as it was.
    """
    changes = [_change(each, message) for each in assignments]
    content_type = record.content_type.partition(";")[0].strip().lower()
    if content_type in JSON_TYPES:
        return record._replace(value=_json(_changed(_document(record), changes)))
    if content_type in PROTOBUF_TYPES:
        return record._replace(value=_changed_message(record, message, changes))
    raise InvalidRequest("--set", f"cannot read {record.content_type!r}; give the whole record with --file")


@dataclass(frozen=True, slots=True)
class _Change:
    field: FieldDescriptor
    member: str
    """Of a map; empty for any other field."""
    value: Any
    """None takes the field away."""

    def apply_to(self, document: dict[str, Any]) -> None:
        """In whichever of its two spellings the field stands there already."""
        name = self.field.json_name if self.field.json_name in document else self.field.name
        if self.member:
            members = document.get(name)
            document[name] = members = dict(members) if isinstance(members, dict) else {}
            document, name = members, self.member
        if self.value is None:
            document.pop(name, None)
        else:
            document[name] = self.value


def _change(assignment: str, message: Message) -> _Change:
    path, given, text = assignment.partition("=")
    name, _, member = path.strip().partition(".")
    fields = cast(Mapping[str, FieldDescriptor], message.DESCRIPTOR.fields_by_name)  # its stubs name two classes
    field = fields.get(name) or next((each for each in fields.values() if each.json_name == name), None)
    if not given or field is None:
        known = ", ".join(fields)
        raise InvalidRequest("--set", f"{assignment!r} is no field=value of {message.DESCRIPTOR.name}: {known}")
    if bool(member) != _is_map(field) and (member or text):
        raise InvalidRequest("--set", f"{path!r}: only a map has members, and a map is set member by member")
    return _Change(field, member, None if not text else text if member else _value(field, text))


def _value(field: FieldDescriptor, text: str) -> Any:
    """What proto3 JSON wants: words and times as text, everything else as JSON has it."""
    is_time = field.message_type is not None and field.message_type.full_name == "google.protobuf.Timestamp"
    if not field.is_repeated and (is_time or field.cpp_type == FieldDescriptor.CPPTYPE_STRING):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidRequest("--set", f'{field.name} wants JSON, such as 4.5, true or ["a"]: {error}') from error


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _changed(document: dict[str, Any], changes: Sequence[_Change]) -> dict[str, Any]:
    for change in changes:
        change.apply_to(document)
    return document


def _document(record: Record) -> dict[str, Any]:
    try:
        document = json.loads(record.value or b"")
    except ValueError as error:
        raise InvalidRequest("--set", f"cannot mend what is no JSON ({error}); give the record with --file") from error
    if not isinstance(document, dict):
        raise InvalidRequest("--set", "cannot mend what is no JSON object; give the whole record with --file")
    return document


def _changed_message(record: Record, message: Message, changes: Sequence[_Change]) -> bytes:
    """On the message itself, so that fields of a newer producer stay."""
    try:
        message.MergeFromString(record.value or b"")
        for change in changes:
            document = json_format.MessageToDict(message, preserving_proto_field_name=True)
            change.apply_to(document)
            message.ClearField(change.field.name)
            kept = {change.field.name: document[change.field.name]} if change.field.name in document else {}
            json_format.ParseDict(kept, message)
    except (DecodeError, json_format.ParseError) as error:
        raise InvalidRequest("--set", f"does not fit: {error}; or give the whole record with --file") from error
    return message.SerializeToString()


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()
