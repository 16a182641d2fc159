"""JSON Schemas of the contract's messages as proto3 JSON writes them, with the words of the .proto files."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from deploy.generate_stubs import protoc

Schema = dict[str, Any]
FieldLimits = Mapping[tuple[str, str], Mapping[str, int]]
"""JSON Schema keywords that the descriptors don't know, by message and field; `*` for all entries of the field."""

_F: Final = FieldDescriptorProto
# Numbers of fields in descriptor.proto: the way to a comment is a path of them.
_FILE_MESSAGES: Final = 4
_MESSAGE_FIELDS: Final = 2
_REQUIRED: Final = "Required"
_SCALARS: Final[Mapping[int, Schema]] = {
    _F.TYPE_STRING: {"type": "string"},
    _F.TYPE_BOOL: {"type": "boolean"},
    _F.TYPE_DOUBLE: {"type": "number"},
    _F.TYPE_FLOAT: {"type": "number"},
    _F.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    _F.TYPE_INT32: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    # proto3 JSON writes 64 bits as text and reads both.
    _F.TYPE_INT64: {"type": ["integer", "string"], "pattern": "^-?[0-9]+$"},
}


class Contracts:
    """Every message of proto/, with its comments."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "contracts.binpb"
            protoc(f"--descriptor_set_out={out}", "--include_source_info", "--include_imports")
            files = FileDescriptorSet.FromString(out.read_bytes()).file
        self._found = {
            f".{file.package}.{message.name}": (file, row)
            for file in files
            for row, message in enumerate(file.message_type)
        }

    def file_of(self, message: str) -> str:
        """The message's .proto file below proto/."""
        return self._found[f".nightjar.v1.{message}"][0].name

    def comment_on(self, message: str) -> str:
        """What the .proto file says of the message."""
        file, row = self._found[f".nightjar.v1.{message}"]
        return _comment(file, (_FILE_MESSAGES, row))

    def schemas(self, messages: list[str], limits: FieldLimits) -> dict[str, Schema]:
        """The schema of each message; they refer to one another below #/components/schemas."""
        return {message: self._schema(message, limits) for message in messages}

    def _schema(self, name: str, limits: FieldLimits) -> Schema:
        file, row = self._found[f".nightjar.v1.{name}"]
        message = file.message_type[row]
        entries = {f".{file.package}.{name}.{nested.name}": nested for nested in message.nested_type}
        properties: Schema = {}
        required: list[str] = []
        for number, field in enumerate(message.field):
            comment = _comment(file, (_FILE_MESSAGES, row, _MESSAGE_FIELDS, number))
            schema = self._field_schema(field, entries)
            schema |= limits.get((name, field.name), {})
            if "items" in schema:
                schema["items"] |= limits.get((name, f"{field.name}*"), {})
            properties[field.json_name] = schema | {"description": comment}
            if f" {_REQUIRED}." in comment or f" {_REQUIRED};" in comment:
                required.append(field.json_name)
        schema = {"type": "object", "description": self.comment_on(name), "properties": properties}
        return schema | ({"required": required} if required else {})

    def _field_schema(self, field: FieldDescriptorProto, entries: Mapping[str, DescriptorProto]) -> Schema:
        if field.type_name in entries:
            (value,) = (each for each in entries[field.type_name].field if each.name == "value")
            return {"type": "object", "additionalProperties": dict(_SCALARS[value.type])}
        if field.type_name == ".google.protobuf.Timestamp":
            one: Schema = {"type": "string", "format": "date-time"}
        elif field.type == _F.TYPE_MESSAGE:
            one = {"allOf": [{"$ref": f"#/components/schemas/{field.type_name.rpartition('.')[2]}"}]}
        else:
            one = dict(_SCALARS[field.type])
        return {"type": "array", "items": one} if field.label == _F.LABEL_REPEATED else one


def _comment(file: FileDescriptorProto, path: tuple[int, ...]) -> str:
    return " ".join(next(_comments_at(file, path)).split())


def _comments_at(file: FileDescriptorProto, path: tuple[int, ...]) -> Iterator[str]:
    for location in file.source_code_info.location:
        if tuple(location.path) == path:
            yield location.leading_comments
