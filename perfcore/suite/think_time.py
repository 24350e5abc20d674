"""How long a user pauses after a request: the three forms of `think_time`."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, WithJsonSchema

from perfcore.suite.field_types import Duration, PositiveDuration, read_duration, read_word
from perfcore.suite.mistakes import Mistake, ModelError, shown
from perfcore.suite.model import SuiteModel, make_model

_FORMS = "200ms, {min: 100ms, max: 300ms} or {mean: 200ms, distribution: exponential}"

ThinkTimeKind = Literal["none", "fixed", "uniform", "exponential"]


@dataclass(frozen=True, slots=True)
class ThinkTime:
    """A pause of `mean_s` on average, never outside `min_s` to `max_s` (infinite for exponential)."""

    kind: ThinkTimeKind = "none"
    min_s: float = 0.0
    max_s: float = 0.0
    mean_s: float = 0.0

    @classmethod
    def fixed(cls, seconds: float) -> "ThinkTime":
        return cls("fixed" if seconds else "none", seconds, seconds, seconds)

    @classmethod
    def uniform(cls, min_s: float, max_s: float) -> "ThinkTime":
        return cls(
            "uniform" if max_s > min_s else "fixed" if max_s else "none", min_s, max_s, (min_s + max_s) / 2
        )

    @classmethod
    def exponential(cls, mean_s: float) -> "ThinkTime":
        return cls("exponential", 0.0, math.inf, mean_s)


class _UniformForm(SuiteModel):
    min: Duration
    max: Duration


class _ExponentialForm(SuiteModel):
    mean: PositiveDuration
    distribution: Annotated[
        Literal["exponential"],
        PlainValidator(read_word(("exponential",))),
        WithJsonSchema({"const": "exponential"}),
    ]


def read_think_time(value: object) -> ThinkTime:
    if isinstance(value, ThinkTime):
        return value
    if not isinstance(value, dict):
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            return ThinkTime.fixed(read_duration(value, _FORMS))
        raise ValueError(f"{shown(value)} is not a think time; write {_FORMS}")
    if "mean" in value or "distribution" in value:
        return ThinkTime.exponential(make_model(_ExponentialForm, value).mean)
    form = make_model(_UniformForm, value)
    if form.min > form.max:
        raise ModelError(
            "", [Mistake(("min",), f"{shown(value['min'])} is more than max, {shown(value['max'])}")]
        )
    return ThinkTime.uniform(form.min, form.max)


def think_time_schema() -> dict[str, Any]:
    forms = [_UniformForm.model_json_schema(), _ExponentialForm.model_json_schema()]
    duration = _UniformForm.model_json_schema()["properties"]["min"]
    return {
        "anyOf": [{key: duration[key] for key in ("anyOf", "examples")}]
        + [
            {key: form[key] for key in ("type", "properties", "required", "additionalProperties")}
            for form in forms
        ]
    }


ThinkTimeField = Annotated[ThinkTime, PlainValidator(read_think_time), WithJsonSchema(think_time_schema())]
