"""Open and staged loads as a user runs them: how many, when, and what a stall of either side does to the figures."""

import os
import signal
import time

import numpy as np
import pytest
from integration.runs import (
    assert_numbers_add_up,
    both_engines,
    children,
    ended,
    one_test,
    run,
    started,
    suite_of,
    workers_of,
)
from waiting import wait_until


def stopped_for(pid: int, seconds: float) -> None:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(("engine", "arrival"), [("wire", "constant"), ("transfer", "poisson")])
def test_a_rate_over_several_workers_is_exactly_rate_times_duration(tmp_path, target, engine, arrival):
    suite = one_test(target.url, endpoint="/health", rate="150/s", duration="1s", arrival=arrival)
    done = run(tmp_path, suite, "--procs", "3", "--engine", engine, "--samples")
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["total_requests"] == test["attempts"] == target.stats()["requests"] == 150
    assert test["dropped_arrivals"] == 0
    assert test["load"] | {"timeout_s": 30} == {
        "model": "open", "rate": 150, "duration_s": 1, "arrival": arrival, "max_users": 1500, "timeout_s": 30,
    }  # fmt: skip
    assert test["parallel_execution"]["total_duration_ms"] == 1000
    assert test["requests_per_second"] == pytest.approx(150, abs=1)
    rows = done.samples()
    dues = np.sort(rows["due_ns"])
    if arrival == "constant":
        assert abs(np.diff(dues) - 1e9 / 150).max() <= 1
    # The three times, to the nanosecond: response is lag and service, of requests that were tried once.
    assert (
        (rows["done_ns"] - rows["due_ns"])
        == (rows["issued_ns"] - rows["due_ns"]) + (rows["done_ns"] - rows["issued_ns"])
    ).all()
    assert (rows["issued_ns"] >= rows["due_ns"]).all()
    assert "open model" in done.stdout
    assert "users wait for the answer" not in done.stdout


def test_a_schedule_repeats_with_the_seed_whatever_the_workers(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", rate="200/s", duration="300ms")

    def offsets(seed, workers):
        done = run(tmp_path, suite, "--procs", str(workers), "--seed", str(seed), "--samples")
        dues = np.sort(done.samples()["due_ns"])
        return (dues - dues[0]).tolist()

    first = offsets(7, 1)
    assert len(first) == 60
    assert first == offsets(7, 2)
    assert first != offsets(8, 2)


def test_arrivals_that_find_nobody_free_are_dropped_and_counted(tmp_path, target):
    suite = one_test(
        target.url, endpoint="/delay/200", rate="100/s", duration="1s", max_users=4, arrival="constant"
    )
    done = run(tmp_path, suite, "--procs", "2")
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["total_requests"] + test["dropped_arrivals"] == 100
    # Four at a time, each for at least 200 ms of the second.
    assert 12 <= test["total_requests"] <= 20
    assert test["parallel_execution"]["max_in_flight"] == 4
    assert test["total_requests"] == target.stats()["requests"]
    assert f"{test['dropped_arrivals']} arrivals dropped" in done.stdout


# 200/s for 1.5 s, and one side stands for half a second: 100 of 300 wait, from half a second down to nothing.
STALL_S = 0.5
ONE_STALL = {"endpoint": "/health", "rate": "200/s", "duration": "1500ms", "arrival": "constant"}


@both_engines
def test_a_server_that_stalls_shows_in_full_in_an_open_model(tmp_path, target, engine):
    with started(tmp_path, one_test(target.url, **ONE_STALL), "--procs", "1", "--engine", engine) as process:
        target.wait_for_requests(60)
        stopped_for(target.pid, STALL_S)
        done = ended(process, tmp_path)
    test = done.test("test")
    assert test["total_requests"] == 300
    for times in (test["timing"], test["service_time"]):
        # Of 300 the 297th waited 0.485 s and the 270th 0.35 s, if nothing else waited.
        assert 430 < times["percentiles"]["p99"] < 1000
        assert 310 < times["percentiles"]["p90"] < 850
        assert times["percentiles"]["p50"] < 200
    assert test["schedule_lag"]["p99_ms"] < 300


def test_a_closed_model_does_not_show_the_same_stall_and_says_so(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", parallel_users=2, think_time="10ms", duration="1500ms")
    with started(tmp_path, suite, "--procs", "1") as process:
        target.wait_for_requests(60)
        stopped_for(target.pid, STALL_S)
        done = ended(process, tmp_path)
    test = done.test("test")
    assert test["timing"]["max_ms"] > 430
    assert test["timing"]["percentiles"]["p90"] < 250, "two requests of some hundred"
    said = "closed model: users wait for the answer before they send again; stalls of the server are under-stated"
    assert said in done.stdout


def test_a_stopped_worker_shows_in_response_and_lag_and_not_in_service(tmp_path, target):
    with started(tmp_path, one_test(target.url, **ONE_STALL), "--procs", "1") as process:
        target.wait_for_requests(60)
        (worker,) = workers_of(process, 1)
        stopped_for(worker, STALL_S)
        done = ended(process, tmp_path)
    test = done.test("test")
    assert test["total_requests"] == 300, "what was due meanwhile is started late, and none is lost"
    assert 430 < test["timing"]["percentiles"]["p99"] < 1000
    assert 430 < test["schedule_lag"]["p99_ms"] < 1000
    # One request may have been under way, or a few that came in one batch.
    assert test["service_time"]["percentiles"]["p90"] < 250


def test_stages_of_users_follow_their_line(tmp_path, target):
    suite = one_test(
        target.url,
        endpoint="/health",
        stages="[{duration: 1s, users: 10}, {duration: 500ms, users: 10}, {duration: 500ms, users: 0}]",
        think_time="10ms",
    )
    done = run(tmp_path, suite, "--procs", "3")
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["total_requests"] == target.stats()["requests"]
    users = test["timeline"]["users"]
    assert test["timeline"]["slice_s"] == 0.1
    assert users[4] == pytest.approx(5, abs=2)
    assert max(users) == 10
    assert users[13] == 10
    assert test["parallel_execution"]["concurrent_users"] == 10
    assert test["parallel_execution"]["total_duration_ms"] == 2000
    assert "to 10 users in 1s, to 10 users in 500ms, to 0 users in 500ms" in done.stdout


def test_without_a_pause_users_of_stages_end_too(tmp_path, target):
    """Whole cycles go on by themselves on the wire path; who is to end is handed back."""
    stages = "[{duration: 200ms, users: 4}, {duration: 200ms, users: 1}, {duration: 300ms, users: 1}]"
    done = run(tmp_path, one_test(target.url, endpoint="/health", stages=stages), "--procs", "1")
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["total_requests"] == target.stats()["requests"]
    users = test["timeline"]["users"]
    assert max(users) == 4
    assert set(users[5:7]) == {1}


def test_models_run_together(tmp_path, target):
    suite = suite_of(
        target.url,
        "name: open, endpoint: /health, rate: 100/s, duration: 500ms",
        "name: ramp, endpoint: /health, stages: [{duration: 500ms, rate: 100/s}]",
        "name: closed, endpoint: /health, parallel_users: 3, iterations: 20, think_time: 10ms",
        mode="parallel",
    )
    done = run(tmp_path, suite, "--procs", "2")
    totals = {key: test["total_requests"] for key, test in done.document["results"].items()}
    assert totals == {"open": 50, "ramp": 25, "closed": 60}
    assert target.stats()["requests"] == 135


@both_engines
def test_cookies_of_an_open_model_are_fresh_each_iteration(tmp_path, target, engine):
    """Each answer sets a cookie and says which came: of a user of a closed model from its second request on."""
    keys = """endpoint: "/echo?response_header=Set-Cookie:a=1", cookies: true, expect: {body_contains: '"Cookie"'}"""
    suite = suite_of(
        target.url,
        f"name: arrivals, rate: 50/s, duration: 400ms, max_users: 1, {keys}",
        f"name: users, iterations: 20, {keys}",
    )
    done = run(tmp_path, suite, "--procs", "1", "--engine", engine)
    arrivals, users = done.test("arrivals"), done.test("users")
    assert arrivals["total_requests"] == arrivals["failed_requests"] == 20 - arrivals["dropped_arrivals"]
    assert (users["total_requests"], users["failed_requests"]) == (20, 1)


def test_a_rate_below_one_a_second_and_an_interrupted_one(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", rate="50/m", duration="1500ms", arrival="constant")
    done = run(tmp_path, suite, "--procs", "2")
    assert done.test("test")["total_requests"] == 2
    suite = one_test(target.url, endpoint="/health", rate="100/s", duration="30s")
    with started(tmp_path, suite, "--procs", "2") as process:
        target.wait_for_requests(50)
        os.kill(process.pid, signal.SIGINT)
        done = ended(process, tmp_path)
    assert done.code == 105
    assert done.document["verdict"] == "interrupted"
    assert_numbers_add_up(done.test("test"))
    wait_until(lambda: not children(process.pid), "no worker")


def test_without_spinning_a_worker_sleeps_until_a_request_is_due(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", rate="500/s", duration="1s", arrival="constant")
    cpu_percent = {}
    for options in ((), ("--no-spin",)):
        done = run(tmp_path, suite, "--procs", "1", *options)
        assert done.test("test")["total_requests"] == 500
        assert done.document["spin"] == (not options)
        cpu_percent[options] = done.document["environment"]["workers_cpu_percent"][0]
    # Of every 2 ms at least one is spun through, of which others may take a part.
    assert cpu_percent[()] > 1.5 * cpu_percent["--no-spin",]
