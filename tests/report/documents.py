"""Result documents as a run leaves them, whole and according to `result-format`, for the tests here."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

from perfcore.metrics.test_result import SuiteResult


def cell_index(seconds: float) -> int:
    """The histogram cell of a time, computed the other way round than the code under test does."""
    mantissa, exponent = math.frexp(seconds)
    return ((exponent - 1 + 20) << 10) + int((mantissa * 2 - 1) * 1024)


def histogram(times_ms: Sequence[float]) -> dict[str, Any]:
    cells: dict[int, int] = {}
    for time_ms in times_ms:
        index = cell_index(time_ms / 1000)
        cells[index] = cells.get(index, 0) + 1
    return {
        "unit": "s",
        "scheme": "log-linear-1024",
        "index": sorted(cells),
        "count": [cells[index] for index in sorted(cells)],
    }


def times(count: int = 1000, median_ms: float = 115.0, spread: float = 0.5) -> list[float]:
    """Log-normal times, the same for every call: quantiles at the middle of each rank."""
    normal = NormalDist(math.log(median_ms), spread)
    return [math.exp(normal.inv_cdf((rank + 0.5) / count)) for rank in range(count)]


def timing(times_ms: Sequence[float], **other: Any) -> dict[str, Any]:
    ordered = sorted(times_ms)

    def rank(quantile: float) -> float | None:
        return ordered[max(math.ceil(quantile * len(ordered)) - 1, 0)] if ordered else None

    few = {"low_ms": None, "high_ms": None, "quality": "too_few"}
    good = {"low_ms": rank(0.985), "high_ms": rank(0.995), "quality": "good"}
    return {
        "min_ms": ordered[0] if ordered else None,
        "max_ms": ordered[-1] if ordered else None,
        "avg_ms": math.fsum(ordered) / len(ordered) if ordered else None,
        "stddev_ms": 60.1 if ordered else None,
        "censored": 0,
        "percentiles": {
            "p50": rank(0.5),
            "p90": rank(0.9),
            "p95": rank(0.95),
            "p99": rank(0.99),
            "p99_9": rank(0.999) if len(ordered) >= 10_000 else None,
        },
        "confidence": {"p99": good if len(ordered) >= 1000 else few},
        **other,
    }


def phase(avg_ms: float, count: int = 10) -> dict[str, Any]:
    return {
        "count": count,
        "avg_ms": avg_ms if count else None,
        "p50": avg_ms,
        "p95": avg_ms,
        "p99": avg_ms,
        "max_ms": avg_ms,
    }


def one_test(name: str = "Get User Profile", requests: int = 1000, **other: Any) -> dict[str, Any]:
    times_ms = times(requests)
    figures = timing(times_ms)
    document = {
        "name": name,
        "request": "GET /users/profile",
        "load": {"model": "closed", "users": 10, "iterations": 100},
        "total_requests": requests,
        "successful_requests": requests,
        "failed_requests": 0,
        "interrupted_requests": 0,
        "attempts": requests,
        "retried_requests": 0,
        "resent_requests": 0,
        "dropped_arrivals": 0,
        "requests_per_second": requests / 12,
        "success_per_second": requests / 12,
        "timing": figures,
        "service_time": figures,
        "timing_failed": timing([]),
        "schedule_lag": {"p50_ms": 0.0, "p99_ms": 0.1, "max_ms": 0.9},
        "phases": {
            "dns": phase(0, 0),
            "connect": phase(0.21),
            "tls": phase(0, 0),
            "ttfb": phase(118.2, requests),
            "transfer": phase(1.1, requests),
        },
        "status_codes": {"200": requests} if requests else {},
        "errors": {},
        "checks": {},
        "failures": [],
        "slowest": [],
        "bytes": {"received": 1234 * requests, "sent": 210 * requests},
        "connections_opened": 10 if requests else 0,
        "engine": "transfer",
        "addresses": {"127.0.0.1": {"connections": 10, "requests": requests}},
        "parallel_execution": {
            "concurrent_users": 10,
            "total_duration_ms": 12000,
            "drain_ms": 45,
            "max_in_flight": 10,
            "avg_in_flight": 9.8,
        },
        "iterations": {"completed": requests, "failed": 0, "interrupted": 0, "timing": figures},
        "steps": {},
        "timeline": {"slice_s": 1.0, "requests": [], "failures": [], "p50_ms": [], "p99_ms": [], "users": []},
        "histogram": histogram(times_ms),
    }
    return document | other


def failing_test() -> dict[str, Any]:
    """Of 1,000 requests: 990 good ones, 3 timed out, 2 refused, 5 answered with 503."""
    answer = {
        "at_s": 3.2,
        "request": "POST https://api.example.com/orders",
        "status": 503,
        "detail": "status 503, expected 2xx",
        "headers": {"Retry-After": "1"},
        "body": '{"error": "overloaded"}\n',
    }
    given_up = {"at_s": 31.07, "request": "POST https://api.example.com/orders", "status": None, "body": ""}
    return one_test(
        "Create Order",
        request="POST /orders",
        successful_requests=990,
        failed_requests=10,
        attempts=1003,
        retried_requests=3,
        success_per_second=82.5,
        status_codes={"200": 990, "503": 5},
        errors={"timeout": 3, "refused": 2, "expectation:status": 5, "tls": 0},
        failures=[
            {"kind": "expectation:status", "count": 5, "samples": [answer]},
            {"kind": "timeout", "count": 3, "samples": [given_up]},
        ],
        checks={"json $.order.id": {"passed": 990, "failed": 5}},
        timing=timing([*times(), 30_000.0, 30_000.0], censored=2, censored_percentiles=["p99_9"]),
    )


def suite_document(tests: dict[str, dict[str, Any]] | None = None, **other: Any) -> dict[str, Any]:
    document = {
        "schema_version": 1,
        "perfcore_version": "1.0.0",
        "test_suite": "API Performance Test Suite",
        "base_url": "https://api.example.com",
        "timestamp": "2026-11-22T10:00:00Z",
        "run_id": "0b7a",
        "seed": 1,
        "tags": {},
        "command_line": ["perfcore", "suite.yaml"],
        "clock": {
            "start": {"monotonic_ns": 1_000_000_000, "realtime_ns": 0},
            "end": {"monotonic_ns": 13_100_000_000, "realtime_ns": 0},
        },
        "verdict": "passed",
        "exit_code": 0,
        "incidents": [],
        "environment": {
            "python_version": "3.11.7",
            "platform": "Linux",
            "cpu_cores": 8,
            "cpu_model": "AMD EPYC 7763",
            "memory_mb": 24000,
            "kernel": "6.1.0-18-amd64",
            "hostname": "build-7",
            "workers": 8,
            "libcurl": "8.23.0",
            "pycurl": "7.49.0",
            "tls": "OpenSSL/3.6.5",
            "cpu_percent": {"avg": 71.0, "max": 96.0},
            "memory_percent": {"avg": 12.0, "max": 13.0},
        },
        "validity": {"verdict": "valid", "signals": [], "reasons": [], "advice": []},
        "thresholds": [],
        "results": tests if tests is not None else {"get_user_profile": one_test()},
    }
    return document | other


def suite_result(
    tests: dict[str, dict[str, Any]] | None = None, results_dir: Path | None = None, **other: Any
) -> SuiteResult:
    return SuiteResult(suite_document(tests, **other), results_dir)
