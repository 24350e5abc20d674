"""`limits`: what no run of a suite may go beyond, whatever its tests ask for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import Field

from perfcore.suite.field_types import PositiveDuration, UserCount, read_user_count
from perfcore.suite.mistakes import Mistake
from perfcore.suite.model import SuiteModel
from perfcore.suite.percentage import Percentage
from perfcore.suite.rates import PositiveRate, default_max_users, read_start_rate
from perfcore.suite.stages import read_stages


class Limits(SuiteModel):
    """What is not given has no limit."""

    max_rate_per_s: PositiveRate | None = Field(
        default=None, alias="max_rate", description="requests of all tests together: 2000/s, 30/m, 100/h"
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
    highest = _read(read_user_count, _value(suite.get("limits"), "max_users"))
    tests = suite.get("tests")
    users = [_most_users(test) for test in (tests if isinstance(tests, list | tuple) else ())]
    if highest is None:
        return
    if suite.get("mode", "sequential") == "parallel":
        if (total := sum(count for _, count in users)) > highest:
            keys = " or ".join(sorted({key for key, count in users if count}))
            text = (
                f"{highest:,} is less than the {total:,} users that the tests have together (mode: parallel)"
            )
            yield Mistake(("limits", "max_users"), f"{text}; raise it, or lower {keys}")
        return
    for index, (key, count) in enumerate(users):
        if count > highest:
            by_default = "" if _value(tests[index], key) is not None else " (by default rate × 10 s)"  # type: ignore[index]
            text = f"{count:,}{by_default} is more than limits.max_users, {highest:,}"
            yield Mistake(("tests", index, key), text)


def _most_users(test: object) -> tuple[str, int]:
    """The key of a test that says how many users there are at most, and the number; 0 where that is a mistake."""
    stages = _read(read_stages, _value(test, "stages"))
    rate = _read(read_start_rate, _value(test, "rate") or _value(test, "rate_per_s"))
    if stages is not None and stages.kind == "users":
        return "stages", round(stages.highest)
    if stages is None and rate is None:
        users = _value(test, "parallel_users")
        return "parallel_users", (1 if users is None else _read(read_user_count, users)) or 0
    given = _read(read_user_count, _value(test, "max_users"))
    return "max_users", given or default_max_users(stages.highest if stages is not None else rate or 0.0)


def _value(data: object, key: str) -> object:
    return data.get(key) if isinstance(data, Mapping) else getattr(data, key, None)


ReadT = TypeVar("ReadT")


def _read(read: Callable[[object], ReadT], value: object) -> ReadT | None:
    """None for nothing, and for what will be told as a mistake at its own place."""
    try:
        return None if value is None else read(value)
    except ValueError:
        return None
