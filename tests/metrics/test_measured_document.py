"""What the result says of the measured time."""

import math

import numpy as np
import pytest

from perfcore.metrics.measured_document import (
    UntilFacts,
    stall_share_of,
    steadiness_document,
    until_document,
    warmup_document,
)
from perfcore.metrics.metrics_collector import TestFigures
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import INTERRUPTED

from .rows import START_NS, rows_of

MS, SECOND = 1_000_000, 1_000_000_000


def figures_of(rows, *, warmup_ns=0):
    figures = TestFigures()
    figures.begin(START_NS, None, warmup_ns)
    figures.fold(rows)
    return figures


def course(count_of, median_ms_of, seconds=60, seed=1):
    """Log-normal response times, so many in each second and so long."""
    numbers = np.random.default_rng(seed)
    parts = []
    for second in range(seconds):
        count = max(0, round(count_of(second) + 3 * numbers.standard_normal()))
        service_ns = (median_ms_of(second) * MS * numbers.lognormal(0, 0.3, count)).astype(np.int64)
        begin_ns = START_NS + second * SECOND
        parts.append(
            rows_of(count, start_ns=begin_ns, every_ns=SECOND // max(count, 1), service_ns=service_ns)
        )
    return np.concatenate(parts)


def steady(_second):
    return 100


def steadiness(count_of, median_ms_of, *, warmup_s=0, changes_after_s=0.0, seconds=60):
    rows = course(count_of, median_ms_of, seconds)
    figures = figures_of(rows, warmup_ns=warmup_s * SECOND)
    return steadiness_document(figures, START_NS + seconds * SECOND, changes_after_s)


# -- warm-up and until --------------------------------------------------------------------------------------------


def test_a_warm_up_is_told_with_what_was_due_in_it():
    rows = rows_of(100, every_ns=100 * MS)
    rows["error"][:7] = CODE["refused"]
    rows["attempts"][:3] = 4
    rows["flags"][10:12] = INTERRUPTED
    figures = figures_of(rows, warmup_ns=2_500_000_000)
    expected = {"until_s": 2.5, "requests": 23, "failed": 7, "attempts": 32}
    assert warmup_document(figures, "fixed") == {"kind": "fixed", **expected}
    assert warmup_document(figures, "auto") == {"kind": "auto", **expected}
    assert warmup_document(figures, "none") is None


def test_a_warm_up_that_was_not_found_is_told_as_well():
    assert warmup_document(figures_of(rows_of(5)), "auto") == {
        "kind": "auto",
        "until_s": 0.0,
        "requests": 0,
        "failed": 0,
        "attempts": 0,
    }


@pytest.mark.parametrize(
    ("percentile", "metric", "after_s", "document"),
    [(99.0, "p99", 12.34567, (True, 12.346)), (99.9, "p99_9", None, (False, None))],
)
def test_until_says_whether_and_when(percentile, metric, after_s, document):
    found = until_document(UntilFacts(percentile, 0.05, 1 - 0.05 / 12, 12, after_s))
    assert found == {
        "metric": metric,
        "precision": 0.05,
        "reached": document[0],
        "after_s": document[1],
        "looks": 12,
        "level": 0.995833,
    }
    assert until_document(None) is None


# -- steadiness ---------------------------------------------------------------------------------------------------


def test_a_server_that_holds_still_is_stationary():
    found = steadiness(steady, lambda _: 10)
    assert found["stationary"] is True
    assert abs(found["p50_change_percent"]) < 5
    assert abs(found["rate_change_percent"]) < 5


def test_a_server_that_becomes_slower_is_not_and_the_change_is_told():
    found = steadiness(steady, lambda second: 10 * (1 + 0.3 * (second / 60 - 0.5)))
    assert found["stationary"] is False
    assert found["p50_change_percent"] == pytest.approx(30, abs=5)


def test_a_rate_that_falls_is_not_stationary_either():
    found = steadiness(lambda second: 100 - second / 3, lambda _: 10)
    assert found["stationary"] is False
    assert found["rate_change_percent"] == pytest.approx(-100 * 20 / 90, abs=4)
    assert abs(found["p50_change_percent"]) < 5


def test_what_changes_in_the_warm_up_or_while_users_begin_does_not_count():
    def slow_at_first(second):
        return 10 + 20 * math.exp(-second / 8)

    assert steadiness(steady, slow_at_first)["stationary"] is False
    assert steadiness(steady, slow_at_first, warmup_s=35)["stationary"] is True
    assert steadiness(steady, slow_at_first, changes_after_s=34.5)["stationary"] is True
    assert steadiness(steady, slow_at_first, warmup_s=2, changes_after_s=35.0)["stationary"] is True


def test_of_a_load_that_changes_all_the_time_or_ends_soon_nothing_is_said():
    nothing = {"stationary": None, "p50_change_percent": None, "rate_change_percent": None}
    assert steadiness(steady, lambda second: 1 + second, changes_after_s=None) == nothing
    assert steadiness(steady, lambda second: 1 + second, seconds=9) == nothing
    assert steadiness(steady, lambda second: 1 + second, warmup_s=55) == nothing
    assert steadiness_document(TestFigures(), 0, 0.0) == nothing


def test_what_drains_after_the_load_is_no_fall_of_the_rate():
    rows = course(steady, lambda _: 10, 30)
    drained = rows_of(50, start_ns=START_NS + 30 * SECOND - 1, every_ns=0)
    drained["done_ns"] += np.arange(50) * SECOND
    figures = figures_of(np.concatenate([rows, drained]))
    found = steadiness_document(figures, START_NS + 30 * SECOND, 0.0)
    assert found["stationary"] is True


# -- stall share --------------------------------------------------------------------------------------------------


def stalling(seconds, users=2, every_s=10):
    """A request of each user every 10 ms, and none in the first second of each ten."""
    begins = np.arange(0, seconds * SECOND, 10 * MS)
    begins = np.repeat(begins[begins // SECOND % every_s != 0], users)
    rows = rows_of(begins.size)
    shift = START_NS + begins - rows["due_ns"]
    for name in ("due_ns", "issued_ns", "done_ns"):
        rows[name] += shift
    return rows


def test_the_stall_share_is_of_the_measured_time_and_knows_the_users():
    figures = figures_of(stalling(60))
    figures.timeline.note_users(60 * SECOND - 1, 2)
    # Five seconds of sixty: before the first start there was none.
    assert stall_share_of(figures, START_NS + 60 * SECOND) == pytest.approx(5 / 60, abs=0.001)
    figures = figures_of(stalling(60), warmup_ns=35 * SECOND)
    figures.timeline.note_users(60 * SECOND - 1, 2)
    assert stall_share_of(figures, START_NS + 60 * SECOND) == pytest.approx(2 / 25, abs=0.001)


def test_of_many_users_a_second_is_not_five_of_their_iterations():
    figures = figures_of(stalling(60, users=1))
    figures.timeline.note_users(60 * SECOND - 1, 100)
    assert stall_share_of(figures, START_NS + 60 * SECOND) == 0


def test_nobody_told_of_stands_for_one_user_and_nothing_measured_for_nothing():
    figures = figures_of(stalling(60))
    assert stall_share_of(figures, START_NS + 60 * SECOND) == pytest.approx(5 / 60, abs=0.001)
    assert stall_share_of(TestFigures(), START_NS) is None
    assert stall_share_of(figures_of(stalling(20), warmup_ns=30 * SECOND), START_NS + 20 * SECOND) is None
