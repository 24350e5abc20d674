"""`limits`: what no run of a suite may go beyond, whatever its tests ask for."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from perfcore.suite.field_types import PositiveDuration, UserCount, read_number, read_user_count
from perfcore.suite.mistakes import Mistake, shown
from perfcore.suite.model import SuiteModel
from perfcore.units import parse_rate

_LONGEST_TEXT = 40
_PERCENTAGE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*")
_REFERENCE = r"\$\{"
_NUMBER = r"([0-9]+\.?[0-9]*|\.[0-9]+)"


def read_positive_rate(value: object) -> float:
    """Events per second, above 0."""
    message = f"{shown(value)} is not a rate greater than 0; write 500/s, 30/m or 2k/s"
    rate = read_number(value, parse_rate, message)
    if rate <= 0:
        raise ValueError(message)
    return rate


def read_percentage(value: object) -> float:
    """A share, above 0 and at most 1, from a percentage."""
    match = _PERCENTAGE.fullmatch(value) if isinstance(value, str) and len(value) <= _LONGEST_TEXT else None
    percent = Decimal(match.group(1)) if match is not None else Decimal(0)
    if not 0 < percent <= 100:
        raise ValueError(f"{shown(value)} is not a percentage above 0%; write 5%, 50% or 100%")
    return float(percent.scaleb(-2))


PositiveRate = Annotated[
    float,
    PlainValidator(read_positive_rate),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": rf"^\s*{_NUMBER}[kM]?(/(s|m|min|h))?\s*$|{_REFERENCE}"},
            ],
            "examples": ["500/s", "30/m", "2k/s"],
        }
    ),
]
Percentage = Annotated[
    float,
    PlainValidator(read_percentage),
    WithJsonSchema(
        {"type": "string", "pattern": rf"^\s*{_NUMBER}\s*%\s*$|{_REFERENCE}", "examples": ["5%", "50%"]}
    ),
]


class Limits(SuiteModel):
    """What is not given has no limit."""

    max_rate_per_s: PositiveRate | None = Field(
        default=None, alias="max_rate", description="requests of all tests together: 2000/s, 30/m"
    )
    max_users: UserCount | None = Field(
        default=None, description="most virtual users at the same time; a plan above it is a mistake"
    )
    max_duration_s: PositiveDuration | None = Field(
        default=None, alias="max_duration", description="the run ends after this time: 10m, 1h"
    )
    abort_on_error_rate: Percentage | None = Field(
        default=None, description="the run ends when this part of the last 10 s has failed: 50%"
    )

    def __init__(self, /, **data: Any) -> None:
        super().__init__(**data)


def user_mistakes(suite: Mapping[str, Any]) -> Iterator[Mistake]:
    """A mistake for a plan with more users than `limits.max_users`; the suite's values have not been checked."""
    highest = _count(_value(suite.get("limits"), "max_users"))
    tests = suite.get("tests")
    users = [
        _count(_value(test, "parallel_users", 1))
        for test in (tests if isinstance(tests, list | tuple) else ())
    ]
    if highest is None:
        return
    if suite.get("mode", "sequential") == "parallel":
        if (total := sum(count or 0 for count in users)) > highest:
            text = (
                f"{highest:,} is less than the {total:,} users that the tests have together (mode: parallel)"
            )
            yield Mistake(("limits", "max_users"), f"{text}; raise it, or lower parallel_users")
        return
    for index, count in enumerate(users):
        if count is not None and count > highest:
            text = f"{count:,} is more than limits.max_users, {highest:,}"
            yield Mistake(("tests", index, "parallel_users"), text)


def _value(data: object, key: str, default: object = None) -> object:
    return data.get(key, default) if isinstance(data, Mapping) else getattr(data, key, None)


def _count(value: object) -> int | None:
    """None for no count, also for what will be told as a mistake at its own place."""
    try:
        return read_user_count(value)
    except ValueError:
        return None
