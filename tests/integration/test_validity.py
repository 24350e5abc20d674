"""Whole runs and how far they can be trusted. That a run is valid is not asserted: the machine may be busy."""

import json
import os

import pytest
from integration.runs import one_test, run, run_python, suite_of

# One user against 50 ms takes 20 of 200 arrivals a second.
TOO_FEW_USERS = {"endpoint": "/delay/50", "rate": "200/s", "duration": "500ms", "max_users": "1"}


def signals_of(document):
    return {(signal["test"], signal["name"]): signal for signal in document["validity"]["signals"]}


@pytest.mark.parametrize(("options", "verdict", "code"), [((), "passed", 0), (("--strict",), "invalid", 96)])
def test_dropped_arrivals_are_invalid_and_with_strict_a_failure(tmp_path, target, options, verdict, code):
    done = run(tmp_path, one_test(target.url, **TOO_FEW_USERS), "--procs", "1", *options)
    assert done.code == code
    document = done.document
    assert (document["verdict"], document["exit_code"]) == (verdict, code)
    assert document["validity"]["verdict"] == "invalid"
    test = done.test("test")
    signal = signals_of(document)["test", "dropped_arrivals_percent"]
    assert signal["state"] == "invalid"
    assert signal["value"] == test["dropped_arrivals"] >= 50  # of exactly a hundred
    assert "raise max_users of test" in done.stdout
    assert "\nValidity  invalid\n  - " in done.stdout


def test_strict_has_a_twin_and_an_argument(tmp_path, target):
    suite = one_test(target.url, **TOO_FEW_USERS)
    assert run(tmp_path, suite, "--procs", "1", "--quiet", PERFCORE_STRICT="1").code == 96
    program = f"""
from perfcore import TestCase, TestRunner
case = TestCase(name="Test", endpoint={target.url + "/delay/50"!r}, rate="200/s", duration="500ms", max_users=1)
result = TestRunner(results_dir=None, procs=1, strict=True).run(case)
print(result.verdict, result.exit_code, result.passed, result.validity.verdict)
"""
    assert run_python(tmp_path, program).stdout.split() == ["invalid", "96", "False", "invalid"]


def test_every_signal_of_a_run_has_its_limits_and_the_verdict_is_the_worst_of_them(tmp_path, target):
    tests = (
        "name: open, endpoint: /delay/10, rate: 100/s, duration: 1s",
        "name: closed, endpoint: /health, parallel_users: 2, duration: 500ms",
    )
    done = run(tmp_path, suite_of(target.url, *tests), "--procs", "2", "--json")
    document = json.loads(done.stdout)
    signals = signals_of(document)
    assert {name for _, name in signals} >= {
        "schedule_lag_p99_ms", "achieved_starts_percent", "dropped_arrivals_percent", "steal_percent",
        "run_queue_wait_percent", "descriptors_percent", "supervisor_cpu_percent", "target_on_this_machine",
    }  # fmt: skip
    assert signals["open", "achieved_starts_percent"]["value"] == 100
    lag_ms = document["results"]["open"]["schedule_lag"]["p99_ms"]
    assert signals["open", "schedule_lag_p99_ms"]["value"] == pytest.approx(lag_ms)
    assert ("closed", "schedule_lag_p99_ms") not in signals
    assert signals[None, "target_on_this_machine"]["state"] == "noted"
    assert 0 < signals[None, "descriptors_percent"]["value"] < 80
    assert 0 <= signals[None, "run_queue_wait_percent"]["value"] <= 100
    states = {signal["state"] for signal in signals.values()}
    worst = "invalid" if "invalid" in states else "suspect" if "warn" in states else "valid"
    assert document["validity"]["verdict"] == worst
    assert len(document["validity"]["reasons"]) == sum(signal["state"] != "ok" for signal in signals.values())


def test_workers_that_share_one_core_have_waited_for_it(tmp_path, target):
    core = min(os.sched_getaffinity(0))
    suite = one_test(target.url, endpoint="/health", parallel_users=4, duration="1s")
    done = run(tmp_path, suite, "--procs", "4", preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    signal = signals_of(done.document)[None, "run_queue_wait_percent"]
    assert signal["value"] > 10
    assert signal["state"] == "warn"  # of a closed model it is never more
    assert "use --procs 1: 4 workers share 1 core" in done.stdout
