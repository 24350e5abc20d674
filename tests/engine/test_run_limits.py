"""When a limit ends a run: arithmetic over instants and counts."""

import pytest

from perfcore.engine.run_limits import LimitWatch
from perfcore.suite.limits import Limits

START_NS = 5_000_000_000
SECOND_NS = 1_000_000_000


def watch(rate: str | None = None, duration: str | None = None) -> LimitWatch:
    watching = LimitWatch(Limits(abort_on_error_rate=rate, max_duration=duration))
    watching.begin(START_NS)
    return watching


@pytest.mark.parametrize(
    ("rate", "requests", "failed", "text"),
    [
        ("50%", 100, 50, "50.0 % of the last 100 requests failed (limits.abort_on_error_rate: 50 %)"),
        ("50%", 1204, 881, "73.2 % of the last 1,204 requests failed (limits.abort_on_error_rate: 50 %)"),
        ("50%", 100, 49, None),
        ("50%", 99, 99, None),
        ("7%", 100, 7, "7.0 % of the last 100 requests failed (limits.abort_on_error_rate: 7 %)"),
        ("7%", 100, 6, None),
        ("100%", 100, 100, "100.0 % of the last 100 requests failed (limits.abort_on_error_rate: 100 %)"),
        ("100%", 1000, 999, None),
        ("0.5%", 200, 1, "0.5 % of the last 200 requests failed (limits.abort_on_error_rate: 0.5 %)"),
        ("0.5%", 200, 0, None),
    ],
)
def test_a_share_that_is_reached_over_a_hundred_requests_ends_the_run(rate, requests, failed, text):
    reason = watch(rate).too_many_failures(START_NS + SECOND_NS, requests, failed)
    assert reason == (None if text is None else f"aborted: {text}")


def test_failures_of_more_than_ten_seconds_ago_do_not_count():
    watching = watch("50%")
    # Ten seconds of nothing but failures, too few to be judged; then a hundred successes a second.
    assert watching.too_many_failures(START_NS + 1 * SECOND_NS, 99, 99) is None
    for second in range(2, 30):
        requests = 99 + 100 * (second - 1)
        assert watching.too_many_failures(START_NS + second * SECOND_NS, requests, 99) is None
    # From here everything fails: half of the last ten seconds is reached after five of them, not before.
    seen = [
        watching.too_many_failures(START_NS + (29 + more) * SECOND_NS, 2899 + 100 * more, 99 + 100 * more)
        for more in range(1, 6)
    ]
    assert seen[:4] == [None] * 4
    assert seen[4] == "aborted: 50.0 % of the last 1,000 requests failed (limits.abort_on_error_rate: 50 %)"


def test_what_other_tests_did_before_does_not_count():
    watching = watch("50%")
    assert watching.too_many_failures(START_NS + SECOND_NS, 99, 99) is None
    watching.begin(START_NS + 2 * SECOND_NS)
    assert watching.too_many_failures(START_NS + 3 * SECOND_NS, 99, 99) is None
    assert watching.too_many_failures(START_NS + 4 * SECOND_NS, 200, 99) is None


def test_a_window_holds_few_entries_however_long_the_run():
    watching = watch("50%")
    for tick in range(1, 5000):
        watching.too_many_failures(START_NS + tick * SECOND_NS // 10, 10 * tick, 0)
    assert len(watching._counts) <= 102


def test_the_time_runs_from_the_first_test_on():
    watching = watch(duration="1m30s")
    watching.begin(START_NS + 20 * SECOND_NS)
    assert watching.end_ns == START_NS + 90 * SECOND_NS
    assert watching.end_reason == "ended by limits.max_duration (1m30s)"


@pytest.mark.parametrize("limits", [None, Limits()])
def test_without_limits_nothing_ends(limits):
    watching = LimitWatch(limits)
    watching.begin(START_NS)
    assert watching.end_ns is None
    assert not watching.watches_errors
    assert watching.too_many_failures(START_NS + SECOND_NS, 10**6, 10**6) is None


def test_before_a_test_has_started_nothing_is_over():
    watching = LimitWatch(Limits(max_duration="1s", abort_on_error_rate="1%"))
    assert watching.end_ns is None
    assert watching.too_many_failures(START_NS, 1000, 1000) is None
