"""`until`: a test that stops when a figure is known well enough."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from perfcore.suite.mistakes import shown
from perfcore.suite.model import SuiteModel, make_model
from perfcore.suite.percentage import Percentage

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,6})?)")
_FORMS = "write a percentile of response time, such as p50, p99 or p99.9"


def read_percentile_name(value: object) -> float:
    """99.9 from `p99.9`. Raises ValueError."""
    match = _PERCENTILE.fullmatch(value.strip()) if isinstance(value, str) else None
    percent = float(match.group(1)) if match is not None else 0.0
    if not percent:
        raise ValueError(f"{shown(value)} is no metric to stop by; {_FORMS}")
    return percent


class Until(SuiteModel):
    """Stop when the 95 % interval of the percentile reaches no further than this share of it to either side."""

    metric: Annotated[
        float,
        PlainValidator(read_percentile_name),
        WithJsonSchema(
            {"type": "string", "pattern": rf"^\s*{_PERCENTILE.pattern}\s*$", "examples": ["p99", "p99.9"]}
        ),
    ] = Field(description="the percentile of response time that is to be known: p50, p99, p99.9")
    precision: Percentage = Field(description="how well: 5%")


def _read_until(value: object) -> object:
    if value is None or isinstance(value, Until):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not a mapping; write {{metric: p99, precision: 5%}}")
    return make_model(Until, value)


UntilField = Annotated[Until | None, BeforeValidator(_read_until)]
