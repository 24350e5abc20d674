"""Which rate of a worker a test's calibrated error is taken at, and what more workers would do about it."""

from typing import Any

import pytest
from metrics.rows import START_NS, rows_of
from metrics.test_calibration import ENVIRONMENT, engine_of, rung

from perfcore._version import __version__
from perfcore.engine.calibrating import rung_of
from perfcore.engine.plan import plan_run
from perfcore.engine.run_document import Instant, RunNotes, TestNotes
from perfcore.engine.tool_errors import note_tool_errors
from perfcore.errors import SetupFailedError
from perfcore.metrics.calibration import Calibration, fingerprint
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.report.calibration_file import save_calibration
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

# p99 in ms is the rate divided by 1,000 at each rung.
KNOWN = engine_of(rung(10, 0.01), rung(20, 0.02), rung(40, 9.0), rung(1000, 9.0))


@pytest.fixture(autouse=True)
def _calibrated(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    save_calibration(Calibration(fingerprint(ENVIRONMENT, __version__), {"wire": KNOWN}), "")


def noted(
    *requests: int, workers: int = 1, users: int = 8, environment: Any = ENVIRONMENT, **suite_keys: Any
) -> RunNotes:
    """Notes of a run of one second whose tests had so many requests."""
    tests = [
        TestCase(name=f"Test {at}", endpoint="/", parallel_users=users, duration="1s")
        for at in range(len(requests))
    ]
    suite = TestSuite(name="s", base_url="http://h", tests=tests, **suite_keys)
    plan = plan_run(suite, workers)
    collector = MetricsCollector(len(requests))
    for at, count in enumerate(requests):
        collector.tests[at].begin(START_NS, START_NS + 1_000_000_000)
        collector.fold(rows_of(count, case=at))
    notes = RunNotes(Instant(0, 0), tests=[TestNotes(began=True, reached_end=True) for _ in requests])
    note_tool_errors(suite, plan.cases, collector.tests, notes, environment)
    return notes


def rates(notes: RunNotes) -> list[float]:
    return [test.tool_error.rate_per_worker for test in notes.tests if test.tool_error is not None]


def test_the_rate_of_a_test_is_shared_by_the_workers_that_had_users_of_it() -> None:
    assert rates(noted(40)) == [40]
    assert rates(noted(40, workers=2)) == [20]
    assert rates(noted(40, workers=4, users=2)) == [20]


def test_tests_that_run_at_the_same_time_share_the_workers() -> None:
    assert rates(noted(10, 20)) == [10, 20]
    assert rates(noted(10, 20, mode="parallel")) == [30, 30]


def test_the_error_is_that_of_the_calibration_at_this_rate() -> None:
    (test,) = noted(20).tests
    assert test.tool_error is not None
    assert test.tool_error.p99_ms == pytest.approx(0.02)
    assert test.tool_error.safe_rate_per_worker == 20


@pytest.mark.parametrize(("workers", "users", "needed"), [(1, 8, 3), (2, 8, 3), (3, 8, None), (1, 2, None)])
def test_so_many_workers_are_called_for_as_bring_the_rate_down_to_a_safe_one(
    workers: int, users: int, needed: int | None
) -> None:
    (test,) = noted(60, workers=workers, users=users).tests
    assert test.workers_for_a_safe_rate == needed


def test_a_calibration_of_another_machine_is_told_and_not_used() -> None:
    notes = noted(20, environment={**ENVIRONMENT, "kernel": "7.0"})
    assert notes.tests[0].tool_error is None
    assert notes.calibration is not None
    assert not notes.calibration["used"]
    assert "kernel 6.1, here 7.0" in notes.calibration["reason"]


def test_a_test_without_a_request_has_none() -> None:
    assert rates(noted(0)) == []


# -- one run of a calibration ---------------------------------------------------------------------------------


def document(p50: float | None, p99: float | None) -> dict[str, Any]:
    test = {
        "timing": {"percentiles": {"p50": p50, "p99": p99}},
        "requests_per_second": 99.5,
        "schedule_lag": {"p99_ms": 0.02},
        "client_delay": {"p99_ms": None},
    }
    signals = [{"name": "steal_percent", "value": 7.0}, {"name": "loop_busy_percent", "value": 4.5}]
    return {"results": {"load": test}, "validity": {"verdict": "suspect", "signals": signals}}


def test_an_error_is_what_was_measured_less_what_the_target_held() -> None:
    found = rung_of(document(2.25, 3.0), {"count": 9, "p50_ns": 2_000_000, "p99_ns": 3_500_000}, 100.0)
    assert (found.p50_error_ms, found.p99_error_ms) == (0.25, -0.5)
    assert (found.truth_p50_ms, found.truth_p99_ms) == (2.0, 3.5)
    assert (found.planned_rate, found.rate, found.busy_percent) == (100.0, 99.5, 4.5)
    assert (found.lag_p99_ms, found.client_delay_p99_ms, found.verdict) == (0.02, None, "suspect")


@pytest.mark.parametrize(
    ("said", "held"), [((None, None), {"count": 5}), ((2.0, 2.0), {"count": 0, "p50_ns": None})]
)
def test_a_run_without_a_request_is_no_measurement(said: Any, held: Any) -> None:
    with pytest.raises(SetupFailedError, match=r"no request was answered at 0\.5/s, .*--seconds"):
        rung_of(document(*said), held, 0.5)
