"""`--dry-run`: what the plan says about the whole run."""

import io
from typing import Any

import pytest

from perfcore.report.plan_report import write_plan


def planned(requests: int | None, duration_s: float | None = None, **other: Any) -> dict[str, Any]:
    return {
        "name": "Get user",
        "key": "get_user",
        "request": "GET /users",
        "load": "closed model: 1 user",
        "notes": [],
        "engine": "wire path",
        "requests": requests,
        "duration_s": duration_s,
        "worker_users": [1, 0],
        **other,
    }


def shown(*tests: dict[str, Any], mode: str = "sequential") -> list[str]:
    stream = io.StringIO()
    plan = {
        "test_suite": "S",
        "base_url": "http://h",
        "mode": mode,
        "workers": 2,
        "limits": ["at most 5 requests/s over all tests"],
        "effective_suite": "test_suite:\n  name: S\n",
        "tests": list(tests),
    }
    write_plan(plan, stream)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ([planned(1)], "1 request"),
        ([planned(1000), planned(1277)], "2,277 requests"),
        ([planned(1000, 3.0)], "at most 1,000 requests; the load lasts 3s at most"),
        (
            [planned(None, 3.0)],
            "as many requests as the test gets done in its time; the load lasts 3s at most",
        ),
        (
            [planned(2277), planned(None, 3.0)],
            "2,277 requests, and as many more as 1 test gets done in its time; "
            "the tests with a duration last 3s at most",
        ),
        (
            [planned(5, 1.0), planned(None, 90.0), planned(None, 2.0)],
            "at most 5 requests, and as many more as 2 tests get done in their time; the load lasts 1m33s at most",
        ),
        (
            [planned(None, 90.0), planned(None, 2.0)],
            "as many requests as 2 tests get done in their time; the load lasts 1m32s at most",
        ),
    ],
)
def test_the_whole_run_is_told_in_one_sentence(tests: list[dict[str, Any]], told: str) -> None:
    assert f"In all: {told}" in shown(*tests)


def test_tests_at_the_same_time_last_as_long_as_the_longest() -> None:
    lines = shown(planned(None, 90.0), planned(None, 2.0), mode="parallel")
    assert any(line.endswith("the load lasts 1m30s at most") for line in lines)


def test_details_stand_below_the_load_and_are_no_commands_to_the_terminal() -> None:
    lines = shown(planned(1, details=["ramp-up 10s", "think time\x1b[2J 1s"]))
    at = lines.index("  closed model: 1 user")
    assert lines[at + 1 : at + 3] == ["  ramp-up 10s", "  think time\\x1b[2J 1s"]


def test_the_limits_of_the_suite_stand_at_the_top() -> None:
    assert shown(planned(1))[2] == "  at most 5 requests/s over all tests"
