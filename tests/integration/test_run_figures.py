"""Figures of whole runs that no single module decides."""

import time

from integration.runs import one_test, run, run_python


def test_thinking_users_do_not_wait_for_a_total_that_is_spent(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", parallel_users=4, total_iterations=4, think_time="30s")
    begun = time.monotonic()
    done = run(tmp_path, suite, "--procs", "2")
    assert done.code == 0
    assert done.test("test")["total_requests"] == 4
    assert time.monotonic() - begun < 15


def test_max_in_flight_is_attained_and_users_have_no_holes(tmp_path, target):
    suite = one_test(target.url, endpoint="/delay/40", parallel_users=6, think_time="40ms", duration="1500ms")
    test = run(tmp_path, suite, "--procs", "3").test("test")
    assert 1 <= test["parallel_execution"]["max_in_flight"] <= 6
    users = test["timeline"]["users"]
    assert len(users) >= 15
    # A worker may be late by a slice on a busy machine; from when all are there to the end of the load, nobody is
    # missing. In the drain they go one by one.
    slices = round(1.5 / test["timeline"]["slice_s"]) - 1
    whole = users.index(6)
    assert whole < slices // 2
    assert set(users[whole:slices]) == {6}
    assert 0 not in users


def test_a_test_shorter_than_a_look_shows_its_users(tmp_path, target):
    test = run(tmp_path, one_test(target.url, endpoint="/delay/30", parallel_users=3)).test("test")
    assert test["timeline"]["users"] == [3]


def test_the_directory_has_the_name_of_the_results_timestamp(tmp_path, target):
    program = (
        "import sys, time\n"
        "from perfcore import TestCase, TestRunner\n"
        "from perfcore.engine import test_runner\n"
        "real, now = test_runner.ResultsLogger.open_run, test_runner.now\n"
        "def slow(*arguments):\n"
        "    time.sleep(1.1)\n"
        "    return real(*arguments)\n"
        "test_runner.ResultsLogger.open_run = slow\n"
        "result = TestRunner().run(TestCase(name='x', endpoint=sys.argv[1]))\n"
        "assert result.results_dir.name == result.timestamp.replace(':', '-'), result.results_dir\n"
    )
    run_python(tmp_path, program, f"{target.url}/health")
