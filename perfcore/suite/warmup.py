"""`warmup`: what a test leaves out of its statistics at the beginning."""

from typing import Annotated, Literal

from pydantic import PlainValidator, WithJsonSchema

from perfcore.suite.field_types import DURATION_SCHEMA, read_duration
from perfcore.suite.mistakes import shown

Warmup = float | Literal["auto"]
"""Seconds, or found from the figures at the end."""


def read_warmup(value: object) -> Warmup:
    """Raises ValueError."""
    if value == "auto":
        return "auto"
    if isinstance(value, str) and value.strip().isalpha():
        raise ValueError(f"{shown(value)} is no warm-up; write auto, or a duration such as 5s")
    return read_duration(value)


WarmupField = Annotated[
    Warmup, PlainValidator(read_warmup), WithJsonSchema({"anyOf": [{"const": "auto"}, DURATION_SCHEMA]})
]
