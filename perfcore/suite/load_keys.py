"""Which keys of a test make its load, and which of them cannot be had together.

Works on the keys of the suite file (or of the Python interface) before their values were checked, so that these
mistakes are told with all others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from perfcore.suite.field_types import read_positive_duration
from perfcore.suite.mistakes import Mistake, shown
from perfcore.suite.rates import read_start_rate
from perfcore.suite.stages import read_stages
from perfcore.units import format_duration

# Where rate × duration should have come to one, and floating point missed it.
_ROUNDING = 1e-6
ITERATION_KEYS = ("iterations", "total_iterations")
# What only a model with users who wait for their answers has, and what only one that starts by a clock has.
_OF_USERS = ("parallel_users", *ITERATION_KEYS, "ramp_up")
_BETWEEN_ITERATIONS = ("think_time", "pacing")
_OF_ARRIVALS = ("arrival", "max_users")
_CLOSED = (*_OF_USERS, *_BETWEEN_ITERATIONS)


def has_rate_stages(stages: object) -> bool:
    """Whether stages, which may not have been checked, say a rate."""
    return isinstance(stages, list | tuple) and any(_is_given(stage, "rate") for stage in stages)


def displaced_load_keys(near: Mapping[str, Any]) -> frozenset[str]:
    """Keys of the defaults that a test with these keys does without, since it has a load model of its own."""
    displaced: set[str] = set()
    if _is_given(near, "rate"):
        displaced |= {*_CLOSED, "stages"}
    if _is_given(near, "stages"):
        displaced |= {*_OF_USERS, "rate", "duration"}
        displaced |= {*_BETWEEN_ITERATIONS} if has_rate_stages(near["stages"]) else {*_OF_ARRIVALS}
    if any(_is_given(near, key) for key in _OF_USERS):
        displaced |= {"rate", *_OF_ARRIVALS, "stages"}
    if _is_given(near, "duration"):
        displaced.add("stages")
    if any(_is_given(near, key) for key in ITERATION_KEYS):
        displaced |= {*ITERATION_KEYS}
    return frozenset(displaced.difference(near))


def load_mistakes(test: Mapping[str, Any]) -> Iterator[Mistake]:
    """The values have not been checked."""
    given = {key for key in (*_CLOSED, *_OF_ARRIVALS, "rate", "stages", "duration") if _is_given(test, key)}
    is_rate_alone = "rate" in given and "stages" not in given
    if given.issuperset(ITERATION_KEYS) and not is_rate_alone:
        text = "give either iterations (of each user) or total_iterations (of all)"
        yield Mistake(("total_iterations",), text)
    if "stages" in given:
        yield from _beside_stages(given, are_rates=has_rate_stages(test["stages"]))
    elif "rate" in given:
        yield from _beside_rate(given)
    else:
        for key in _OF_ARRIVALS:
            if key in given:
                hint = "; the number of users is parallel_users" if key == "max_users" else ""
                yield Mistake((key,), f"belongs to rate: 500/s, which is not given{hint}")
    yield from _too_few_arrivals(test)


def _beside_rate(given: set[str]) -> Iterator[Mistake]:
    counts = [key for key in ITERATION_KEYS if key in given]
    others = tuple(key for key in _CLOSED if key not in ITERATION_KEYS)
    yield from _without_effect(given, others, "rate, which starts iterations by the clock")
    for key in counts:
        way_out = "leave it out" if "duration" in given else "give duration: 30s in its place"
        yield Mistake((key,), f"has no effect with rate, of which rate × duration are started; {way_out}")
    if "duration" not in given and not counts:
        yield Mistake(("rate",), "needs a duration, such as duration: 30s")


def _too_few_arrivals(test: Mapping[str, Any]) -> Iterator[Mistake]:
    """A load that comes to less than one iteration: what is sent then is none of what was asked for."""
    try:
        if _is_given(test, "stages"):
            stages = read_stages(test["stages"])
            if stages.kind == "rate" and stages.expected_arrivals < 1 - _ROUNDING:
                text = "come to less than one iteration in all; give longer stages or a higher rate"
                yield Mistake(("stages",), text)
        elif _is_given(test, "rate") and _is_given(test, "duration"):
            rate, duration = _value(test, "rate"), _value(test, "duration")
            per_s = read_start_rate(rate)
            if per_s * read_positive_duration(duration) < 1 - _ROUNDING:
                long = format_duration(1 / per_s)
                text = f"{shown(rate)} for {shown(duration)} is less than one iteration"
                yield Mistake(("rate",), f"{text}; give a duration of {long} or more, or a higher rate")
    except ValueError:
        return  # told by whoever checks the values


def _beside_stages(given: set[str], *, are_rates: bool) -> Iterator[Mistake]:
    if "rate" in given:
        yield Mistake(("rate",), "the stages say the rate; give one of them")
    if "duration" in given:
        yield Mistake(("duration",), "the stages say how long they last; leave it out")
    yield from _without_effect(given, _OF_USERS, "stages")
    if are_rates:
        yield from _without_effect(
            given, _BETWEEN_ITERATIONS, "stages of a rate, which start iterations by the clock"
        )
    else:
        yield from _without_effect(given, _OF_ARRIVALS, "stages of users")


def _without_effect(given: set[str], keys: tuple[str, ...], other: str) -> Iterator[Mistake]:
    for key in keys:
        if key in given:
            yield Mistake((key,), f"has no effect with {other}; give one of them")


def _is_given(data: object, key: str) -> bool:
    return isinstance(data, Mapping) and _value(data, key) is not None


def _value(data: Mapping[str, Any], key: str) -> object:
    names = {"ramp_up": "ramp_up_s", "pacing": "pacing_s", "rate": "rate_per_s", "duration": "duration_s"}
    value = data.get(key)
    return data.get(names.get(key, key)) if value is None else value
