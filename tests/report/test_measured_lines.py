"""The sentences on the measured time, under the table of response times."""

import pytest

from perfcore.report.summary import summary_text
from report.documents import one_test, suite_result

FIXED = {"kind": "fixed", "until_s": 5.0, "requests": 1234, "failed": 0, "attempts": 1234}
REACHED = {"metric": "p99", "precision": 0.05, "reached": True, "after_s": 12.346, "looks": 9, "level": 0.99}
STEADY = {"stationary": True, "p50_change_percent": 1.0, "rate_change_percent": -0.4}


def of(**document):
    """What stands there of a test with this document."""
    lines = summary_text(suite_result({"t0": one_test(**document)})).splitlines()
    return [line.strip().removeprefix("t0: ") for line in lines if line.strip().startswith("t0: ")]


def test_without_any_of_it_nothing_is_said():
    assert of() == of(warmup=None, until=None, steadiness=STEADY) == []
    nothing = {"stationary": None, "p50_change_percent": None, "rate_change_percent": None}
    assert of(steadiness=nothing) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "warm-up of 5s left out, with 1,234 requests"),
        ({"requests": 1}, "warm-up of 5s left out, with 1 request"),
        ({"requests": 0}, "warm-up of 5s left out, with 0 requests"),
        ({"kind": "auto", "until_s": 15.0}, "warm-up of 15s found and left out, with 1,234 requests"),
        ({"kind": "auto", "until_s": 0.0}, "too short to find a warm-up in: 20 s at least"),
        ({"until_s": 0.5}, "warm-up of 500ms left out, with 1,234 requests"),
    ],
)
def test_a_warm_up_is_told(changes, sentence):
    assert of(warmup=FIXED | changes) == [sentence]


def test_that_none_was_found_is_told_where_one_could_be():
    lasted = {"total_duration_ms": 20_000.0, "concurrent_users": 1, "drain_ms": 0.0, "max_in_flight": 1}
    found = of(
        warmup=FIXED | {"kind": "auto", "until_s": 0.0}, parallel_execution={**lasted, "avg_in_flight": 1.0}
    )
    assert found == ["no warm-up was found to leave out"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "p99 was known to 5 % after 12.3 s, and the load ended"),
        (
            {"metric": "p99_9", "precision": 0.005},
            "p99.9 was known to 0.5 % after 12.3 s, and the load ended",
        ),
        ({"reached": False, "after_s": None}, "p99 was not known to 5 % when the time was over"),
        ({"after_s": 1234.4}, "p99 was known to 5 % after 1,234 s, and the load ended"),
    ],
)
def test_until_is_told(changes, sentence):
    assert of(until=REACHED | changes) == [sentence]


@pytest.mark.parametrize(
    ("p50", "rate", "changes"),
    [
        (12.34, 1.0, "p50 rose by 12 %"),
        (-25.0, None, "p50 fell by 25 %"),
        (2.0, -8.26, "throughput fell by 8.3 %"),
        (99.7, None, "p50 rose by 100 %"),
        (130.2, -40.0, "p50 rose by 130 %, throughput fell by 40 %"),
    ],
)
def test_a_drift_is_told_with_what_changed(p50, rate, changes):
    found = of(steadiness={"stationary": False, "p50_change_percent": p50, "rate_change_percent": rate})
    assert found == [f"not stationary: {changes} in the measured time, and the figures are of all of it"]


def test_of_many_tests_the_first_are_told_and_the_others_counted():
    tests = {f"t{at}": one_test(warmup=FIXED, until=REACHED) for at in range(6)}
    text = summary_text(suite_result(tests))
    lines = [line.strip() for line in text.splitlines()]
    assert sum("warm-up of 5s" in line for line in lines) == 4
    assert sum("p99 was known" in line for line in lines) == 4
    assert "and 4 more in the result" in lines


def test_a_name_cannot_write_to_the_terminal():
    text = summary_text(suite_result({"a\x1b[31mb": one_test(warmup=FIXED)}))
    assert "\x1b" not in text
    assert "warm-up of 5s" in text
