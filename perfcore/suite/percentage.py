"""A share as it is written: 5%."""

import re
from decimal import Decimal
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from perfcore.suite.mistakes import shown
from perfcore.suite.rates import NUMBER

_LONGEST_TEXT = 40
_PERCENTAGE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*")
_REFERENCE = r"\$\{"


def read_percentage(value: object) -> float:
    """A share, above 0 and at most 1, from a percentage."""
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None
    percent = Decimal(match.group(1)) if match is not None else Decimal(0)
    if not 0 < percent <= 100:
        raise ValueError(f"{shown(value)} is not a percentage above 0% and up to 100%; write 5%, 50% or 100%")
    return float(percent.scaleb(-2))


Percentage = Annotated[
    float,
    PlainValidator(read_percentage),
    WithJsonSchema(
        {"type": "string", "pattern": rf"^\s*{NUMBER}\s*%\s*$|{_REFERENCE}", "examples": ["5%", "50%"]}
    ),
]
