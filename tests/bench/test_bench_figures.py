"""What the other benches make of what they saw: growth of a series, costs by callgrind, rows that are counted."""

from pathlib import Path

import numpy as np
import pytest

from bench import machine
from bench.memory import growth_mib
from bench.profile import parse_callgrind, share_outside_libcurl
from bench.recording import mixed_rows, plain_rows
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.samples import BLOCK_ROWS

# Two functions of one object and one of another; the call's inclusive cost (90) belongs to the called one.
CALLGRIND = """\
events: Ir
ob=(1) /lib/libpython3.11.so
fl=(1) a.c
fn=(1) evaluate
10 30
cob=(2) /lib/libcurl.so.4
cfn=(2) perform
calls=1 20
11 90
fn=(3) release
+2 5

ob=(2)
fn=(2)
20 90
"""


def series(minutes: int, mib_a_minute: float) -> dict[str, list[float]]:
    seconds = [float(at) for at in range(minutes * 60)]
    return {"at_s": seconds, "workers_mib": [50 + at // 60 * mib_a_minute for at in seconds]}


def test_growth_is_the_last_minute_less_the_second() -> None:
    # Of ten minutes, numbered from 0, minute 9 less minute 1.
    assert growth_mib(series(10, 0.5), "workers_mib", 10) == pytest.approx(8 * 0.5)
    assert growth_mib(series(10, 0.0), "workers_mib", 10) == pytest.approx(0.0)


def test_a_run_without_a_second_and_a_last_minute_says_nothing_of_growth() -> None:
    assert growth_mib(series(2, 0.5), "workers_mib", 2) is None


def test_a_call_costs_the_one_that_is_called() -> None:
    by_object, by_function = parse_callgrind(CALLGRIND)
    assert by_object == {"libpython3.11.so": 35, "libcurl.so.4": 90}
    assert by_function["evaluate  [libpython3.11.so]"] == 30
    assert by_function["release  [libpython3.11.so]"] == 5
    assert by_function["perform  [libcurl.so.4]"] == 90
    assert share_outside_libcurl(by_object) == pytest.approx(35 / 125)


def test_the_rows_of_the_recording_bench_use_every_column() -> None:
    collector = MetricsCollector(2)
    for figures in collector.tests:
        figures.begin(1_000_000_000, None)
    collector.fold(mixed_rows(np.random.default_rng(1), 1_000_000_000))
    assert sum(figures.counter("requests") for figures in collector.tests) == BLOCK_ROWS
    for figures in collector.tests:
        for name in ("failed_requests", "retried", "connections", "censored", "received_bytes", "sent_bytes"):
            assert figures.counter(name) > 0, name
        assert all(distribution.count > 0 for distribution in figures.distributions.values())


def test_plain_rows_all_succeed_on_kept_connections() -> None:
    collector = MetricsCollector(1)
    collector.tests[0].begin(1_000_000_000, None)
    collector.fold(plain_rows(np.random.default_rng(1), 1_000_000_000))
    figures = collector.tests[0]
    assert (figures.counter("requests"), figures.counter("failed_requests")) == (BLOCK_ROWS, 0)
    assert figures.counter("connections") == 0


def test_a_result_is_kept_with_the_machine_it_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RESULTS", tmp_path / "results")
    text = machine.keep("speed", {"figure": 1}).read_text()
    for word in ('"figure": 1', '"cpu_model"', '"kernel"', '"perfcore"', '"date"'):
        assert word in text
