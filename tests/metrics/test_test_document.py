"""A test's part of results.json."""

import json

import numpy as np
import pytest

from perfcore.metrics import test_document as documents
from perfcore.metrics.histogram import bucket_bounds_s
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import CONNECTED, INTERRUPTED
from perfcore.metrics.test_document import TestFacts

from .rows import START_NS, random_rows, rows_of

SECOND = 1_000_000_000

KEYS = {
    "name",
    "total_requests",
    "successful_requests",
    "failed_requests",
    "interrupted_requests",
    "attempts",
    "retried_requests",
    "resent_requests",
    "dropped_arrivals",
    "requests_per_second",
    "success_per_second",
    "timing",
    "service_time",
    "timing_failed",
    "timing_reused",
    "schedule_lag",
    "phases",
    "status_codes",
    "errors",
    "failures",
    "checks",
    "slowest",
    "bytes",
    "connections_opened",
    "engine",
    "recognised_share",
    "addresses",
    "parallel_execution",
    "iterations",
    "steps",
    "timeline",
    "histogram",
}
TIMING = {"min_ms", "max_ms", "avg_ms", "stddev_ms", "censored", "percentiles"}
INNER = {
    ("schedule_lag",): {"p50_ms", "p99_ms", "max_ms"},
    ("phases",): {"dns", "connect", "tls", "ttfb", "transfer"},
    ("bytes",): {"received", "sent"},
    ("parallel_execution",): {
        "concurrent_users",
        "total_duration_ms",
        "drain_ms",
        "max_in_flight",
        "avg_in_flight",
    },
    ("iterations",): {"completed", "failed", "interrupted", "timing"},
    ("timeline",): {"slice_s", "requests", "failures", "p50_ms", "p99_ms", "max_ms", "users"},
    ("histogram",): {"unit", "scheme", "index", "count"},
    **{(name,): TIMING for name in ("timing", "service_time", "timing_failed", "timing_reused")},
    ("iterations", "timing"): TIMING,
    **{
        ("phases", name): {"avg_ms", "p50", "p95", "p99", "max_ms"}
        for name in ("dns", "connect", "tls", "ttfb", "transfer")
    },
}


def facts_of(**changes):
    facts = {
        "name": "Profile",
        "request": "GET /profile",
        "concurrent_users": 10,
        "load": {"model": "closed"},
        "engine": "http",
        "reached_planned_end": False,
        "max_in_flight": 10,
    }
    return TestFacts(**(facts | changes))


def document_of(*blocks, planned_s=None, **changes):
    collector = MetricsCollector(1)
    planned_end_ns = None if planned_s is None else START_NS + round(planned_s * SECOND)
    collector.tests[0].begin(START_NS, planned_end_ns)
    for block in blocks:
        collector.fold(block)
    document = documents.test_document(collector.tests[0], facts_of(**changes))
    json.dumps(document, allow_nan=False)  # plain Python values, all of them
    return document


def inside(document, path):
    for name in path:
        document = document[name]
    return document


@pytest.mark.parametrize("count", [0, 1, 2, 500])
def test_every_key_of_the_result_format_is_there(count):
    document = document_of(random_rows(count, count), addresses={"::1": {"connections": 1, "requests": 5}})
    assert document.keys() >= KEYS
    for path, keys in INNER.items():
        assert inside(document, path).keys() >= keys, path
    assert document["addresses"] == {"::1": {"connections": 1, "requests": 5}}
    assert {"p50", "p90", "p95", "p99", "p99_9"} <= document["timing"]["percentiles"].keys()


def test_where_nothing_was_reached_there_is_no_address():
    assert document_of(rows_of(1))["addresses"] == {}


def test_every_check_is_counted_kept_and_broken():
    rows = rows_of(6, status=200)
    rows["failed_checks"][:3] = [0b01, 0b10, 0b11]
    rows["error"][:3] = CODE["expectation:header"]
    rows["error"][3] = CODE["timeout"]
    document = document_of(rows, check_names=("status 2xx", "json $.a"))
    assert document["checks"] == {
        "status 2xx": {"passed": 3, "failed": 2},
        "json $.a": {"passed": 3, "failed": 2},
    }


def test_checks_beyond_the_bits_of_a_row_count_as_one():
    names = tuple(f"json $.{n}" for n in range(70))
    checks = document_of(rows_of(1), check_names=names)["checks"]
    assert len(checks) == 64
    assert list(checks)[-1] == "the last 7 checks"


def test_the_slowest_requests_are_kept_with_who_sent_them_and_when():
    rows = random_rows(3, 500, interrupted=0)
    document = document_of(rows)
    response = rows["done_ns"] - rows["due_ns"]
    slowest = sorted(response.tolist(), reverse=True)[:10]
    assert [round(request["ms"] * 1e6) for request in document["slowest"]] == slowest
    first = rows[int(response.argmax())]
    assert document["slowest"][0]["user"] == first["user"]


def test_an_empty_test_has_nulls_and_zeroes():
    document = document_of(planned_s=10, reached_planned_end=True)
    for name in ("timing", "service_time", "timing_failed", "timing_reused"):
        timing = document[name]
        assert {timing[key] for key in ("min_ms", "max_ms", "avg_ms", "stddev_ms")} == {None}
        assert set(timing["percentiles"].values()) == {None}
        assert timing["censored"] == 0
    assert document["total_requests"] == document["failed_requests"] == document["successful_requests"] == 0
    assert document["requests_per_second"] == document["success_per_second"] == 0
    assert document["status_codes"] == document["errors"] == {}
    assert document["timeline"]["requests"] == document["histogram"]["index"] == []
    assert document["parallel_execution"]["total_duration_ms"] == 10_000
    assert document["parallel_execution"]["drain_ms"] == 0
    never_begun = document_of()
    assert never_begun["requests_per_second"] == never_begun["parallel_execution"]["avg_in_flight"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_numbers_add_up(seed):
    rows = random_rows(seed, 700)
    document = document_of(rows)
    total, failed = document["total_requests"], document["failed_requests"]
    assert total == document["successful_requests"] + failed
    assert failed == sum(document["errors"].values())
    transport = sum(n for kind, n in document["errors"].items() if not kind.startswith("expectation:"))
    assert total == sum(document["status_codes"].values()) + transport
    assert total + document["interrupted_requests"] == len(rows)
    assert total == document["timing"]["count"] + document["timing_failed"]["count"]
    assert sum(document["timeline"]["requests"]) == total
    assert sum(document["timeline"]["failures"]) == failed
    assert sum(document["histogram"]["count"]) == document["timing"]["count"]
    assert document["iterations"]["completed"] == total
    assert document["timing_reused"]["count"] <= document["timing"]["count"]
    columns = [value for value in document["timeline"].values() if isinstance(value, list)]
    assert len({len(column) for column in columns}) == 1


def test_figures_are_those_of_the_rows():
    service_ns = 1_000_000 * np.arange(1, 101)
    ok = rows_of(100, service_ns=service_ns, lag_ns=2_000_000, received_bytes=100, sent_bytes=7)
    document = document_of(
        ok, rows_of(2, error=CODE["timeout"], status=0, service_ns=30 * SECOND), rows_of(1, flags=INTERRUPTED)
    )
    timing = document["timing"]
    assert (timing["min_ms"], timing["max_ms"], timing["censored"]) == (3.0, 30_000.0, 2)
    assert timing["avg_ms"] == pytest.approx((sum(range(3, 103)) + 60_000) / 102, abs=1e-6)
    assert timing["percentiles"] == {"p50": 53.0, "p90": 94.0, "p95": 99.0, "p99": 30_000.0, "p99_9": None}
    assert timing["censored_percentiles"] == ["p99"]
    assert document["service_time"]["percentiles"]["p50"] == 51.0
    assert document["service_time"]["censored"] == 2
    assert document["iterations"]["timing"] == timing
    assert document["schedule_lag"] == {"p50_ms": 2.0, "p99_ms": 2.0, "max_ms": 2.0}
    assert document["bytes"] == {"received": 10_000, "sent": 700}
    assert document["status_codes"] == {"200": 100}
    assert document["errors"] == {"timeout": 2}
    assert document["interrupted_requests"] == 1


@pytest.mark.parametrize(("count", "shown"), [(9_999, False), (10_000, True)])
def test_the_percentile_99_9_is_null_below_ten_exceedances(count, shown):
    rows = rows_of(count, service_ns=1_000 * np.arange(1, count + 1))
    percentiles = document_of(rows)["timing"]["percentiles"]
    assert percentiles["p99_9"] == (9.99 if shown else None)


def test_the_usual_percentiles_are_shown_from_the_first_sample_on():
    percentiles = document_of(rows_of(1))["timing"]["percentiles"]
    assert percentiles == {"p50": 1.0, "p90": 1.0, "p95": 1.0, "p99": 1.0, "p99_9": None}


def test_percentiles_asked_for_follow_the_rule_of_ten():
    rows = rows_of(200)
    percentiles = document_of(rows, further_percentiles=(75.0, 99.99))["timing"]["percentiles"]
    assert percentiles == {
        "p50": 1.0,
        "p75": 1.0,
        "p90": 1.0,
        "p95": 1.0,
        "p99": 1.0,
        "p99_9": None,
        "p99_99": None,
    }


@pytest.mark.parametrize(
    ("timed_out", "marked"),
    [(0, []), (1, []), (2, ["p99"]), (6, ["p95", "p99"]), (60, ["p50", "p90", "p95", "p99"])],
)
def test_percentiles_that_fall_among_the_given_up_are_named(timed_out, marked):
    rows = rows_of(100)
    rows["done_ns"][:timed_out] = rows["due_ns"][:timed_out] + 5 * SECOND
    rows["error"][:timed_out] = CODE["timeout"]
    assert document_of(rows)["timing"]["censored_percentiles"] == marked


def test_with_a_planned_end_the_rate_is_what_completed_before_it():
    # 100 a second for ten seconds; the last 20 complete within 200 ms after the end.
    rows = rows_of(1000, every_ns=SECOND // 100, service_ns=200_000_000)
    rows["error"][-40:] = CODE["expectation:status"]
    document = document_of(rows, planned_s=10, reached_planned_end=True)
    after = int(np.count_nonzero(rows["done_ns"] > START_NS + 10 * SECOND))
    assert after == 19
    assert document["requests_per_second"] == 98.1
    assert document["success_per_second"] == 96.0
    parallel = document["parallel_execution"]
    assert parallel["total_duration_ms"] == 10_000
    assert parallel["drain_ms"] == 190
    assert parallel["avg_in_flight"] == pytest.approx(200 / 10.19, abs=1e-3)


def test_without_a_planned_end_the_load_lasts_to_the_last_completion():
    document = document_of(rows_of(1000, every_ns=SECOND // 100, service_ns=10_000_000))
    assert document["requests_per_second"] == 100.0
    assert document["parallel_execution"]["total_duration_ms"] == 10_000
    assert document["parallel_execution"]["drain_ms"] == 0


def test_users_that_were_done_before_the_planned_end_end_the_load():
    document = document_of(rows_of(100, every_ns=SECOND // 100, service_ns=10_000_000), planned_s=60)
    assert document["requests_per_second"] == 100.0
    assert document["parallel_execution"]["total_duration_ms"] == 1_000


def test_iterations_that_end_beyond_the_planned_end_end_in_the_drain():
    # Every user began its last iteration in time, so none met the end; the answers came after it.
    rows = rows_of(100, every_ns=SECOND // 100, service_ns=100_000_000)
    document = document_of(rows, planned_s=1, reached_planned_end=False)
    assert document["requests_per_second"] == 91.0
    assert document["parallel_execution"]["total_duration_ms"] == 1_000
    assert document["parallel_execution"]["drain_ms"] == 90


def test_an_idle_end_before_the_plan_is_over_counts_as_load():
    document = document_of(rows_of(10), planned_s=10, reached_planned_end=True)
    assert document["requests_per_second"] == 1.0
    assert document["parallel_execution"]["drain_ms"] == 0


def test_reused_connections_are_told_apart():
    phases = {"dns_us": 100, "connect_us": 250, "tls_us": 900}
    connecting = rows_of(10, flags=CONNECTED, connections=1, service_ns=90_000_000, **phases)
    document = document_of(rows_of(990), connecting)
    assert document["connections_opened"] == 10
    assert document["timing"]["max_ms"] == 90.0
    assert document["timing_reused"]["max_ms"] == document["timing_reused"]["percentiles"]["p99"] == 1.0
    assert document["phases"]["connect"] == {
        "count": 10,
        "avg_ms": 0.25,
        "p50": 0.25,
        "p95": 0.25,
        "p99": 0.25,
        "max_ms": 0.25,
    }


def test_the_histogram_can_be_read_back():
    durations = np.random.default_rng(8).lognormal(15, 1, 5_000).astype(np.int64)
    document = document_of(rows_of(5_000, service_ns=durations))["histogram"]
    assert (document["unit"], document["scheme"]) == ("s", "log-linear-1024")
    bounds = np.array([bucket_bounds_s(index) for index in document["index"]])
    ordered, at = np.sort(durations) / 1e9, 0
    for (low, high), count in zip(bounds, document["count"], strict=True):
        inside_bucket = ordered[at : at + count]
        assert low <= inside_bucket[0]
        assert inside_bucket[-1] < high
        at += count
    assert at == 5_000


@pytest.mark.parametrize("planned_s", [None, 60])
def test_after_a_stop_the_rate_is_that_of_the_time_before_it(planned_s):
    # 100 a second, each takes 500 ms; stopped after 2 s, the last answers come 490 ms later.
    rows = rows_of(200, every_ns=SECOND // 100, service_ns=500_000_000)
    collector = MetricsCollector(1)
    (figures,) = collector.tests
    figures.end_by(START_NS)  # nothing runs yet
    assert figures.planned_end_ns is None
    figures.begin(START_NS, None if planned_s is None else START_NS + planned_s * SECOND)
    collector.fold(rows[:100])  # ended before the stop was known
    figures.end_by(START_NS + 2 * SECOND)
    figures.end_by(START_NS + 3 * SECOND)
    collector.fold(rows[100:])
    document = documents.test_document(figures, facts_of(reached_planned_end=True))
    assert document["requests_per_second"] == 75.5
    assert document["total_requests"] == 200
    assert document["parallel_execution"]["total_duration_ms"] == 2_000
    assert document["parallel_execution"]["drain_ms"] == 490


def test_a_stop_after_the_planned_end_moves_nothing():
    figures = MetricsCollector(1).tests[0]
    figures.begin(START_NS, START_NS + SECOND)
    figures.end_by(START_NS + 2 * SECOND)
    assert figures.planned_end_ns == START_NS + SECOND
