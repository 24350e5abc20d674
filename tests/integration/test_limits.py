"""Limits that end a run: by its time, or by the share of requests that fail."""

import json
import re

import pytest
from integration.runs import (
    assert_numbers_add_up,
    both_engines,
    changed_perfcore,
    ended,
    interrupt,
    run,
    run_python,
    started,
    suite_of,
)


def suite(target, limits, endpoint="/health"):
    return suite_of(
        target.url,
        f"name: one, endpoint: {endpoint}, parallel_users: 4, duration: 30s",
        "name: two, endpoint: /users/1, parallel_users: 4, iterations: 25",
        limits=limits,
    )


def test_the_run_ends_after_its_time_as_aborted(tmp_path, target):
    done = run(tmp_path, suite(target, "{max_duration: 400ms}"))
    assert done.code == 108, done.stderr
    document = done.document
    assert (document["verdict"], document["exit_code"]) == ("aborted", 108)
    assert document["incidents"] == ["ended by limits.max_duration (400ms)", "not started: two"]
    assert list(document["results"]) == ["one"]
    test = done.test("one")
    assert_numbers_add_up(test)
    assert test["attempts"] == target.stats()["requests"]
    assert test["parallel_execution"]["total_duration_ms"] >= 400
    assert "ABORTED" in done.stdout
    assert "ended by limits.max_duration (400ms)" in done.stdout
    assert "ended by limits.max_duration (400ms); finishing what is under way" in done.stderr


def test_what_is_under_way_when_the_time_is_over_may_finish(tmp_path, target):
    # Each request takes longer than the run may, so that all of them end in the drain.
    done = run(tmp_path, suite(target, "{max_duration: 200ms}", endpoint="/delay/600"))
    assert done.code == 108
    test = done.test("one")
    assert (test["successful_requests"], test["interrupted_requests"]) == (4, 0)
    assert test["requests_per_second"] == 0
    assert test["attempts"] == target.stats()["requests"]


@both_engines
def test_what_does_not_finish_within_graceful_stop_is_cut(tmp_path, target, engine):
    text = suite(target, "{max_duration: 200ms}", endpoint="/delay/20000").replace(
        "duration: 30s", "duration: 30s, graceful_stop: 100ms"
    )
    done = run(tmp_path, text, "--engine", engine)
    assert done.code == 108
    assert done.test("one")["interrupted_requests"] == 4


def test_a_run_that_ends_by_itself_before_its_time_has_passed(tmp_path, target):
    text = suite(target, "{max_duration: 60s, abort_on_error_rate: 1%}").replace(
        "duration: 30s", "iterations: 50"
    )
    done = run(tmp_path, text)
    assert (done.code, done.document["verdict"], done.document["incidents"]) == (0, "passed", [])


@both_engines
def test_a_run_in_which_too_much_fails_ends_early(tmp_path, target, engine):
    limits = "{abort_on_error_rate: 50%}"
    done = run(tmp_path, suite(target, limits, endpoint="/status/503"), "--engine", engine)
    assert done.code == 108, done.stderr
    assert done.document["verdict"] == "aborted"
    why, missing = done.document["incidents"]
    found = re.fullmatch(
        r"aborted: 100\.0 % of the last ([\d,]+) requests failed \(limits\.abort_on_error_rate: 50 %\)", why
    )
    assert found, why
    test = done.test("one")
    assert 100 <= int(found[1].replace(",", "")) <= test["total_requests"]
    assert missing == "not started: two"
    assert_numbers_add_up(test)
    assert test["attempts"] == target.stats()["requests"]
    assert why in done.stdout
    assert why in done.stderr


def test_a_share_below_the_limit_ends_nothing(tmp_path, target):
    text = suite(target, "{abort_on_error_rate: 50%}", endpoint="/flaky?rate=0.2").replace(
        "duration: 30s", "iterations: 100"
    )
    done = run(tmp_path, text)
    assert done.code == 0, done.stderr
    assert done.test("one")["failed_requests"] == 80


def test_tests_that_run_together_fail_together(tmp_path, target):
    # Each answers about as often as the other, and one of them always with an error.
    text = suite_of(
        target.url,
        "name: bad, endpoint: /status/500, parallel_users: 4, iterations: 100, pacing: 5ms",
        "name: good, endpoint: /health, parallel_users: 4, iterations: 100, pacing: 5ms",
        mode="parallel",
        limits="{abort_on_error_rate: 90%}",
    )
    done = run(tmp_path, text)
    assert done.document["incidents"] == []
    assert done.test("bad")["failed_requests"] == 400
    assert done.test("good")["successful_requests"] == 400


def test_ctrl_c_in_the_drain_of_an_aborted_run_is_an_interruption(tmp_path, target):
    text = suite(target, "{max_duration: 200ms}", endpoint="/delay/20000").replace(
        "duration: 30s", "duration: 30s, graceful_stop: 1s"
    )
    with started(tmp_path, text, "--procs", "1") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "limits.max_duration" in line:
                break
        interrupt(process)
        done = ended(process, tmp_path)
    assert done.code == 105
    assert done.document["verdict"] == "interrupted"
    assert done.document["incidents"] == [
        "ended by limits.max_duration (200ms)",
        "interrupted by SIGINT",
        "not started: two",
    ]


NOBODY_DRAINS = """
import perfcore.metrics.samples as samples
from perfcore.engine.supervisor import Supervisor

samples.SampleRing.__init__.__defaults__ = (2,)
drain = Supervisor._drain
Supervisor._drain = lambda self: drain(self) if self._is_stopping else None
"""


def test_failures_that_nobody_drained_are_seen(tmp_path, target):
    # With two blocks a ring the workers soon find no free one, and count by themselves.
    text = suite(target, "{abort_on_error_rate: 50%}", endpoint="/status/503")
    done = run(tmp_path, text, "--procs", "2", "--json", command=changed_perfcore(NOBODY_DRAINS))
    assert done.code == 108, done.stderr
    document = json.loads(done.stdout)
    assert "aborted: 100.0 %" in document["incidents"][0]
    assert document["results"]["one"]["attempts"] == target.stats()["requests"]


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
def test_a_limit_ends_every_test_that_runs(tmp_path, target, mode):
    text = suite_of(
        target.url,
        "name: one, endpoint: /health, parallel_users: 2, duration: 30s",
        "name: two, endpoint: /delay/100, parallel_users: 2, duration: 30s",
        mode=mode,
        limits="{max_duration: 300ms}",
    )
    done = run(tmp_path, text)
    assert done.code == 108
    assert list(done.document["results"]) == (["one"] if mode == "sequential" else ["one", "two"])
    assert sum(test["attempts"] for test in done.document["results"].values()) == target.stats()["requests"]


def test_a_limit_is_seen_by_a_caller_from_python(tmp_path, target):
    program = (
        "import sys\n"
        "from perfcore import TestCase, TestRunner, TestSuite\n"
        "seen = []\n"
        "runner = TestRunner(results_dir=None, on_progress=lambda progress: seen.append(progress.aborted_by))\n"
        "suite = TestSuite(name='s', base_url=sys.argv[1], limits={'max_duration': '200ms'},\n"
        "    tests=[TestCase(name='one', endpoint='/health', duration='30s')])\n"
        "result = runner.run(suite)\n"
        "print(result.verdict, result.exit_code, seen[0], seen[-1])\n"
    )
    done = run_python(tmp_path, program, target.url)
    target.stats_when_closed()
    assert done.stdout == "aborted 108 None ended by limits.max_duration (200ms)\n", done.stderr


@pytest.mark.parametrize(("mode", "engine"), [("parallel", "wire"), ("sequential", "transfer")])
def test_a_rate_holds_for_all_tests_tries_and_workers_and_starves_none(tmp_path, target, mode, engine):
    text = suite_of(
        target.url,
        "name: many, endpoint: /health, parallel_users: 300, duration: 600ms, ramp_up: 0s",
        'name: few, endpoint: "/flaky?rate=1", retries: 1, retry_backoff: 1ms, parallel_users: 5, duration: 1s',
        limits="{max_rate: 50/s}",
        mode=mode,
    )
    done = run(tmp_path, text, "--procs", "3", "--engine", engine)
    many, few = done.test("many"), done.test("few")
    counted = target.stats()["requests"]
    assert counted == many["attempts"] + few["attempts"]
    clock = done.document["clock"]
    lasted_s = (clock["end"]["monotonic_ns"] - clock["start"]["monotonic_ns"]) / 1e9
    assert counted <= 50 * lasted_s + 1
    # Each test got its part of it, whoever else stood in line.
    assert many["total_requests"] > 0
    assert few["total_requests"] > 0
    assert few["retried_requests"] > 0
    for test in (many, few):
        assert_numbers_add_up(test)
        # Whom the limit holds back is due later: nothing of it is told as slowness.
        assert test["timing"]["count"] == 0 or test["timing"]["percentiles"]["p50"] < 200
