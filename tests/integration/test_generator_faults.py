"""What is said of a generator that cannot do its work, or is kept from it; and that one at leisure is not blamed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from integration.runs import assert_numbers_add_up, both_engines, ended, one_test, run, started, workers_of
from target_process import running_target

STOP_S = 0.5
HELD_MS = 150
OF_THE_GENERATOR = {
    "schedule_lag_p99_ms", "client_delay_p99_percent", "loop_busy_percent", "longest_pass_ms", "run_queue_wait_percent",
}  # fmt: skip


def signals_of(done):
    return {signal["name"]: signal for signal in done.document["validity"]["signals"]}


def test_a_rate_that_no_worker_can_do_is_invalid_and_told_by_what_was_not_started(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", rate="200000/s", duration="1s", max_users=50)
    began_s = time.monotonic()
    done = run(tmp_path, suite, "--procs", "1", "--strict")
    assert time.monotonic() - began_s < 20, "it ends by itself"
    assert done.code == 96
    document, test = done.document, done.test("test")
    assert (document["verdict"], document["validity"]["verdict"]) == ("invalid", "invalid")
    assert_numbers_add_up(test)
    assert test["attempts"] == target.stats()["requests"]
    assert test["total_requests"] + test["dropped_arrivals"] <= 200_000
    signals = signals_of(done)
    achieved = signals["achieved_starts_percent"]
    assert achieved["state"] == "invalid"
    assert achieved["value"] == pytest.approx(100 * test["total_requests"] / 200_000, abs=0.01)
    assert signals["dropped_arrivals_percent"]["state"] == "invalid"
    assert any(signals[name]["state"] != "ok" for name in OF_THE_GENERATOR & set(signals))
    reasons = "\n".join(document["validity"]["reasons"])
    assert "the requests started were" in reasons
    assert "Validity  invalid" in done.stdout


def test_a_worker_that_only_spins_is_not_busy(tmp_path, target):
    """Every 1.25 ms a request, and the last millisecond before each is waited for awake."""
    suite = one_test(target.url, endpoint="/health", rate="800/s", duration="1200ms", arrival="constant")
    done = run(tmp_path, suite, "--procs", "1")
    busy = signals_of(done)["loop_busy_percent"]
    assert busy["state"] == "ok"
    assert busy["value"] < busy["warn"] == 50
    # How much of a core it gets is the machine's affair.
    assert done.document["environment"]["workers_cpu_percent"][0] > 1.5 * busy["value"]


@contextmanager
def hogs(core: int, count: int = 2) -> Iterator[None]:
    """Processes that take all of this core that they can get, 20 s at most."""
    program = f"import os, time\nos.sched_setaffinity(0, {{{core}}})\nend = time.monotonic() + 20\nprint(flush=True)\n"
    program += "while time.monotonic() < end: sum(range(10_000))"
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            assert process.stdout is not None
            process.stdout.readline()
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait(20)
            assert process.stdout is not None
            process.stdout.close()


def test_a_worker_that_is_starved_of_its_core_is_told_and_its_waiting_is_in_the_response_time(
    tmp_path, target
):
    core = max(os.sched_getaffinity(0))
    held_ms = 5
    # Of a loop that ran for less than a second it is not told how busy it was, and this one may begin late.
    suite = one_test(target.url, endpoint=f"/delay/{held_ms}", rate="200/s", duration="2s")
    with hogs(core):
        pinned = {"preexec_fn": lambda: os.sched_setaffinity(0, {core})}
        done = run(tmp_path, suite, "--procs", "1", "--samples", **pinned)
    test, validity = done.test("test"), done.document["validity"]
    assert validity["verdict"] != "valid"
    signals = signals_of(done)
    blamed = {name for name in OF_THE_GENERATOR & set(signals) if signals[name]["state"] != "ok"}
    assert blamed & {
        "run_queue_wait_percent",
        "schedule_lag_p99_ms",
        "longest_pass_ms",
        "client_delay_p99_percent",
    }
    assert signals["loop_busy_percent"]["state"] == "ok", "it had time, if it was let"
    assert any("leave this machine to the generator" in advice for advice in validity["advice"])
    assert_client_delay_makes_it_truer(test, done.samples(), held_ms)


def assert_client_delay_makes_it_truer(test, rows, held_ms):
    looked_at = rows[rows["delay_weight"] == 1]
    assert test["client_delay"]["looked_at"] == len(looked_at) > 0.9 * len(rows), "there are few"
    assert test["client_delay"]["max_ms"] == pytest.approx(looked_at["delay_us"].max() / 1000, abs=0.001)
    response_ns = looked_at["done_ns"] - looked_at["due_ns"]
    service_ns = looked_at["done_ns"] - looked_at["issued_ns"]
    delay_ns = looked_at["delay_us"].astype(np.int64) * 1000
    for name, percentile in (("p50", 50), ("p99", 99)):
        without = quantile_ms(service_ns - delay_ns, percentile)
        corrected = quantile_ms(response_ns - delay_ns, percentile)
        # The target held it, and its answer cannot have come before: the microsecond is that of the stamp.
        assert held_ms - 0.002 < without <= corrected < test["timing"]["percentiles"][name]
        assert without < test["service_time"]["percentiles"][name]
        assert test["client_delay"]["corrected"][name] == pytest.approx(corrected, rel=1e-3)


def quantile_ms(times_ns, percentile):
    return float(np.quantile(times_ns, percentile / 100, method="inverted_cdf")) / 1e6


@pytest.fixture(scope="module")
def tls_target():
    with running_target("--tls") as target:
        yield target


@pytest.fixture(params=["http", "https"])
def any_target(request):
    target = request.getfixturevalue("tls_target" if request.param == "https" else "target")
    target.reset()
    return target


@both_engines
def test_while_a_worker_is_stopped_an_answer_lies_in_the_kernel_and_client_delay_says_how_long(
    tmp_path, any_target, engine
):
    keys = {}
    if any_target.ca_file is not None:
        keys = {
            "tls": f"{{ca: {any_target.ca_file}}}",
            "http_version": "1.1",
        }  # else HTTP/2 might be negotiated
    suite = one_test(any_target.url, endpoint=f"/delay/{HELD_MS}", iterations=3, **keys)
    with started(tmp_path, suite, "--procs", "1", "--engine", engine, "--samples") as process:
        any_target.wait_for_requests(1)
        (worker,) = workers_of(process, 1)
        # The second request is with the target, which answers it while nobody reads.
        any_target.wait_for_requests(2)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(STOP_S)
        os.kill(worker, signal.SIGCONT)
        done = ended(process, tmp_path)
    test, rows = done.test("test"), done.samples()
    assert test["total_requests"] == test["client_delay"]["looked_at"] == 3
    # It was stopped early in the 150 ms: for most of the half second the answer was there.
    assert test["client_delay"]["max_ms"] > 300
    assert test["timing"]["max_ms"] > 450
    # What is left of each is what the target took, which a busy machine may make longer.
    response_ms, delay_ms = (rows["done_ns"] - rows["due_ns"]) / 1e6, rows["delay_us"] / 1000
    stopped = np.argmax(delay_ms)
    service_ms = (rows["done_ns"] - rows["issued_ns"])[stopped] / 1e6
    assert HELD_MS - 0.002 < service_ms - delay_ms[stopped] < service_ms - 300
    corrected = test["client_delay"]["corrected"]
    for name, percentile in (("p50", 50), ("p99", 99)):
        expected = np.quantile(response_ms - delay_ms, percentile / 100, method="inverted_cdf")
        assert corrected[name] == pytest.approx(expected, rel=1e-3), (response_ms, delay_ms)
    assert corrected["p50"] < 300
    assert signals_of(done)["client_delay_p99_percent"]["state"] == "invalid"
