"""What the supervisor knows of a run, as the judgement gets it."""

import pytest
from metrics.rows import START_NS, rows_of

from perfcore.engine.plan import plan_run
from perfcore.engine.run_document import Instant, RunNotes, TestNotes
from perfcore.engine.run_validity import any_is_here, run_validity
from perfcore.metrics.host_signals import HostSignals, WorkerHostSignals
from perfcore.metrics.measured_document import UntilFacts
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.run_memory import (
    BUSY_NS,
    LONGEST_GC_NS,
    LONGEST_PASS_NS,
    WALL_NS,
    WORST_BUSY_PPM,
    RunMemory,
)
from perfcore.metrics.worker_spread import WorkerSpread
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

OPEN = {"rate": "100/s", "duration": "1s"}
ELSEWHERE = {"192.0.2.1": {"connections": 1, "requests": 3}}  # of a block that nobody has


def judged(
    keys,
    *,
    dropped=0,
    warmup_dropped=0,
    requests=100,
    addresses=ELSEWHERE,
    host=None,
    began=True,
    memory=None,
    spread=None,
    until=None,
    **notes,
):
    suite = TestSuite(name="s", base_url="http://h", tests=[TestCase(name="Get", endpoint="/", **keys)])
    plan = plan_run(suite, 1)
    collector = MetricsCollector(1)
    collector.tests[0].begin(START_NS, None, round(plan.cases[0].case.warmup_s * 1e9))
    collector.fold(rows_of(requests))
    test = TestNotes(
        began=began, dropped=dropped, warmup_dropped=warmup_dropped, addresses=addresses, until=until
    )
    return run_validity(
        suite,
        plan.cases,
        collector.tests,
        RunNotes(Instant(0, 0), tests=[test], **notes),
        host or HostSignals(),
        memory or RunMemory(workers=max(1, len((host or HostSignals()).workers)), tests=1),
        spread or WorkerSpread(),
        Masker.for_suite(suite),
    )


def value(document, name):
    values = [signal["value"] for signal in document["signals"] if signal["name"] == name]
    return values[0] if values else None


def test_an_open_test_is_judged_by_its_plan_its_drops_and_its_lag() -> None:
    document = judged(OPEN, requests=97, dropped=3)
    assert value(document, "achieved_starts_percent") == 97
    assert value(document, "dropped_arrivals_percent") == 3
    assert value(document, "schedule_lag_p99_ms") is not None
    assert document["verdict"] == "invalid"


def test_what_was_dropped_in_the_warm_up_is_not_judged() -> None:
    """Of 100 arrivals 20 were due in the warm-up, of which 5 found nobody; the others came one each millisecond."""
    warm = {**OPEN, "warmup": "15ms"}
    document = judged(warm, requests=95, warmup_dropped=5)
    assert value(document, "achieved_starts_percent") == 100
    assert value(document, "dropped_arrivals_percent") == 0
    document = judged(warm, requests=91, dropped=4, warmup_dropped=5)
    assert value(document, "achieved_starts_percent") == 95  # 76 of 80
    assert value(document, "dropped_arrivals_percent") == 5


@pytest.mark.parametrize("cause", [{"interrupted_by": "SIGINT"}, {"aborted_by": "limits.max_duration"}])
def test_a_run_that_was_cut_short_is_not_judged_by_what_was_planned_for_later(cause) -> None:
    assert value(judged(OPEN, requests=40, **cause), "achieved_starts_percent") is None
    assert value(judged(OPEN, requests=40), "achieved_starts_percent") == 40


def test_a_closed_test_has_none_of_these_and_a_share_of_stalls() -> None:
    document = judged({"parallel_users": 2, "iterations": 50})
    assert {signal["name"] for signal in document["signals"]} == {
        "stall_share_percent",
        "target_on_this_machine",
    }
    assert value(document, "stall_share_percent") == 0
    assert value(judged(OPEN), "stall_share_percent") is None


def test_loops_of_workers_are_judged_as_far_as_they_lived_to_tell() -> None:
    memory = RunMemory(workers=2, tests=1)
    words = {
        BUSY_NS: 4 * 10**9,
        WALL_NS: 10 * 10**9,
        WORST_BUSY_PPM: 930_000,
        LONGEST_PASS_NS: 12_500_000,
        LONGEST_GC_NS: 2_250_000,
    }
    for which, word in words.items():
        memory.set_worker_word(1, which, word)
    host = HostSignals(workers=(WorkerHostSignals(0.0, 1.0), WorkerHostSignals(0.0, 1.0)))
    document = judged(OPEN, host=host, memory=memory)
    assert value(document, "loop_busy_percent") == 40
    assert value(document, "longest_pass_ms") == 12.5
    assert value(document, "longest_gc_pause_ms") == 2.25


def test_workers_that_measured_differently_are_judged() -> None:
    spread = WorkerSpread()
    for worker, service_ns in enumerate((10_000_000, 20_000_000)):
        for _ in range(4):
            spread.fold(worker, rows_of(250, service_ns=service_ns))
    assert value(judged(OPEN, spread=spread), "worker_p99_ratio") == pytest.approx(2, rel=0.035)


def test_a_test_that_stopped_when_it_knew_enough_is_not_judged_by_what_was_planned_for_later() -> None:
    reached = UntilFacts(99.0, 0.05, 0.99, 5, 12.0)
    assert value(judged(OPEN, requests=40, until=reached), "achieved_starts_percent") is None
    missed = UntilFacts(99.0, 0.05, 0.99, 5, None)
    assert value(judged(OPEN, requests=40, until=missed), "achieved_starts_percent") == 40


def test_a_test_that_never_began_is_not_judged() -> None:
    assert value(judged(OPEN, began=False), "achieved_starts_percent") is None


def test_what_the_machine_took_is_judged() -> None:
    host = HostSignals(
        steal_percent=1.5,
        worst_steal_percent=9.0,
        throttled_percent=0.5,
        supervisor_cpu_percent=60.0,
        ephemeral_ports_percent=81.0,
        workers=(WorkerHostSignals(3.0, 5.0), WorkerHostSignals(None, 82.0)),
    )
    document = judged(OPEN, host=host)
    by_name = {signal["name"]: signal for signal in document["signals"]}
    assert {name for name, signal in by_name.items() if signal["state"] == "warn"} == {
        "steal_percent", "cgroup_throttled_percent", "supervisor_cpu_percent", "ephemeral_ports_percent",
        "run_queue_wait_percent", "descriptors_percent",
    }  # fmt: skip
    assert by_name["run_queue_wait_percent"]["value"] == 3.0
    assert by_name["steal_percent"]["worst_second"] == 9.0


@pytest.mark.parametrize(
    ("keys", "addresses", "is_here"),
    [
        ({}, ELSEWHERE, 0),
        ({}, {"127.0.0.1": {}}, 1),
        ({}, {**ELSEWHERE, "127.3.2.1": {}}, 1),
        ({"unix_socket": "/run/app.sock"}, {}, 1),
        ({}, {}, 0),
    ],
)
def test_a_target_on_this_machine_is_noted(keys, addresses, is_here) -> None:
    assert value(judged({**OPEN, **keys}, addresses=addresses), "target_on_this_machine") == is_here


@pytest.mark.parametrize(
    ("addresses", "is_here"),
    [([], False), (["127.0.0.1"], True), (["192.0.2.1"], False), (["localhost"], False), ([""], False)],
)
def test_an_address_is_here_when_it_can_be_bound_to(addresses, is_here) -> None:
    assert any_is_here(addresses) is is_here
