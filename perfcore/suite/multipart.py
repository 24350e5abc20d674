"""`multipart`: texts and files that are sent as a form does that has files in it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from perfcore.suite.field_types import read_list, read_mapping, read_readable_file, read_text
from perfcore.suite.mistakes import Mistake
from perfcore.suite.model import SuiteModel


def _read_texts(value: object) -> tuple[str, ...]:
    return read_list(value, read_text) if isinstance(value, list | tuple) else (read_text(value),)


def _read_files(value: object) -> tuple[Path, ...]:
    if isinstance(value, list | tuple):
        return read_list(value, read_readable_file)
    return (read_readable_file(value),)


def _one_or_list(schema: dict[str, Any]) -> WithJsonSchema:
    entry = {"anyOf": [schema, {"type": "array", "items": schema}]}
    return WithJsonSchema({"type": "object", "additionalProperties": entry})


class Multipart(SuiteModel):
    """A body of multipart/form-data; a list gives the name several times."""

    fields: Annotated[
        dict[str, tuple[str, ...]],
        PlainValidator(lambda value: read_mapping(value, _read_texts)),
        _one_or_list({"type": ["string", "number", "boolean"]}),
    ] = Field(default_factory=dict, description="texts by their names")
    files: Annotated[
        dict[str, tuple[Path, ...]],
        PlainValidator(lambda value: read_mapping(value, _read_files)),
        _one_or_list({"type": "string", "minLength": 1}),
    ] = Field(default_factory=dict, description="paths of files by their names; relative to the suite file")

    @classmethod
    def combinations(cls, data: Mapping[str, Any]) -> Iterator[Mistake]:
        if not data.get("fields") and not data.get("files"):
            yield Mistake((), "is empty; write fields: {name: text}, files: {name: path} or both")
