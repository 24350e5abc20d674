"""Rates as a suite writes them: `500/s`, `30/m`, `100/h`, `2k/s`; a number alone is per second."""

import math
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from perfcore.suite.field_types import read_number
from perfcore.suite.mistakes import shown
from perfcore.units import parse_rate

NUMBER = r"([0-9]+\.?[0-9]*|\.[0-9]+)"
# More is a slip of the unit: no machine starts so many.
HIGHEST_RATE = 10_000_000.0
# One in a year, which is as long as a test may last.
_LOWEST_RATE = 1 / (366 * 86400)
# Users of an open model unless its max_users says another number: so many as are busy when each takes ten seconds.
_USERS_FOR_S = 10
_FEWEST_MAX_USERS, _MOST_MAX_USERS = 100, 20_000
_FORMS = "500/s, 30/m, 100/h or 2k/s"


def read_positive_rate(value: object) -> float:
    """Events per second, above 0."""
    message = f"{shown(value)} is not a rate greater than 0; write {_FORMS}"
    rate = read_number(value, parse_rate, message)
    if rate <= 0:
        raise ValueError(message)
    return rate


def read_stage_rate(value: object) -> float:
    """Iterations started per second, or 0."""
    rate = read_number(value, parse_rate, f"{shown(value)} is not a rate; write {_FORMS}")
    return read_start_rate(value) if rate else 0.0


def read_start_rate(value: object) -> float:
    """Iterations started per second, above 0."""
    rate = read_positive_rate(value)
    if rate > HIGHEST_RATE:
        raise ValueError(f"{shown(value)} is more than {HIGHEST_RATE:,.0f} a second")
    if rate < _LOWEST_RATE:
        raise ValueError(f"{shown(value)} is less than one in a year")
    return rate


def default_max_users(highest_rate: float) -> int:
    """Users that an open model of this rate may have at the same time, where the suite does not say."""
    return min(max(math.ceil(highest_rate * _USERS_FOR_S), _FEWEST_MAX_USERS), _MOST_MAX_USERS)


_TEXT_SCHEMA = {"type": "string", "pattern": rf"^\s*{NUMBER}[kM]?(/(s|m|min|h))?\s*$|\$\{{"}
RATE_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "number", "minimum": 0}, _TEXT_SCHEMA],
    "examples": ["500/s", "30/m", "100/h", "2k/s"],
}
_POSITIVE_SCHEMA = {**RATE_SCHEMA, "anyOf": [{"type": "number", "exclusiveMinimum": 0}, _TEXT_SCHEMA]}
PositiveRate = Annotated[float, PlainValidator(read_positive_rate), WithJsonSchema(_POSITIVE_SCHEMA)]
StartRate = Annotated[float, PlainValidator(read_start_rate), WithJsonSchema(_POSITIVE_SCHEMA)]
