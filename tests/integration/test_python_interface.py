"""`from perfcore import TestRunner, TestCase`: the seed's example and what its result holds."""

import sys

from integration.runs import ROOT, completed, one_test, run_python, write_suite

SEED = """
import sys
from perfcore import TestRunner, TestCase

test_case = TestCase(
    name="Get User Profile",
    endpoint=sys.argv[1] + "/users/profile",
    method="GET",
    headers={"Authorization": "Bearer token"},
    parallel_users=10,
    iterations=100,
)
runner = TestRunner()
results = runner.run(test_case)
assert results.avg_response_time > 0
assert results.percentiles["p95"] == results.p95 > 0
assert results.total_requests == 1000
assert results.timing.percentiles.p50 == results.p50
assert results.status_codes == {"200": 1000}
assert results.results["get_user_profile"].failed_requests == 0
assert results.environment.workers >= 1
assert results.verdict == "passed"
assert results.passed
assert (results.results_dir / "results.json").exists()
"""


def test_the_seeds_example_works_is_logged_and_prints_nothing(tmp_path, target):
    done = run_python(tmp_path, SEED, target.url)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "results" / "latest" / "results.json").exists()


def test_the_example_that_ships_prints_two_figures(tmp_path, target):
    example = str(ROOT / "examples" / "basic_test.py")
    done = completed(tmp_path, [sys.executable, example, f"{target.url}/users/profile"])
    assert done.code == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert float(first.removeprefix("Average response time: ").removesuffix("ms")) > 0
    assert float(second.removeprefix("95th percentile: ").removesuffix("ms")) > 0


def test_a_path_and_a_suite_object_run_too_and_twice_in_a_row(tmp_path, target):
    path = write_suite(tmp_path, one_test(target.url, endpoint="/users/${ID}", iterations=3))
    program = """
import sys
from perfcore import TestCase, TestRunner, TestSuite
runner = TestRunner(procs=2, results_dir=None, seed=5)
assert runner.run(sys.argv[1], variables={"ID": "7"}).total_requests == 3
suite = TestSuite(name="s", base_url=sys.argv[2], tests=[
    TestCase(name="a", endpoint="/health", iterations=2), TestCase(name="b", endpoint="/health")])
result = runner.run(suite)
assert [test.total_requests for test in result] == [2, 1]
assert result["a"].key == "a" and result.results_dir is None and result.seed == 5
try:
    result.total_requests
except AttributeError as error:
    assert "results[KEY].total_requests" in str(error)
else:
    raise SystemExit("two tests have no figures of one")
"""
    run_python(tmp_path, program, str(path), target.url)
    assert not (tmp_path / "results").exists()


def test_mistakes_are_perfcore_errors_that_are_value_errors(tmp_path):
    program = """
from perfcore import PerfcoreError, SuiteError, TestCase, TestRunner, UsageError
try:
    TestCase(name="x", endpoint="https://127.0.0.1/", method="FETCH", iterations=0)
except SuiteError as error:
    assert isinstance(error, ValueError) and isinstance(error, PerfcoreError)
    assert len(error.mistakes) == 2, error.mistakes
for wrong in (0, -1, "many", True, 1.5):
    try:
        TestRunner(procs=wrong)
    except UsageError as error:
        assert "procs" in str(error)
    else:
        raise SystemExit(f"procs={wrong!r} was taken")
try:
    TestRunner(results_dir=None).run(42)
except UsageError:
    pass
try:
    TestRunner(results_dir=None).run(TestCase(name="x", endpoint="https://127.0.0.1/${NOPE}"))
except SuiteError as error:
    assert "NOPE" in str(error)
else:
    raise SystemExit("an unknown name was taken")
"""
    run_python(tmp_path, program)


def test_importing_perfcore_costs_neither_numpy_nor_libcurl(tmp_path):
    program = (
        "import sys, perfcore; perfcore.__version__; "
        "assert not {'numpy', 'pycurl', 'pydantic'} & set(sys.modules)"
    )
    run_python(tmp_path, program)


MANY_FAILURES = """
import sys, time
from perfcore import TestCase, TestRunner, TestSuite
held = []
def hold(progress):
    if not held and any(test.requests for test in progress.tests):
        held.append(time.sleep(0.8))
suite = TestSuite(name="s", base_url=sys.argv[1], mode="parallel", tests=[
    TestCase(name=f"test {n}", endpoint="/bytes/2000", expect={"status": 404}, parallel_users=5, duration="500ms")
    for n in range(60)])
result = TestRunner(procs=2, results_dir=None, on_progress=hold).run(suite)
assert held and result.exit_code == 99 and len(result.results) == 60, result
assert all(test.load.duration_s == 0.5 and test.addresses for test in result)
"""


def test_a_callback_that_takes_its_time_loses_no_message(tmp_path, target):
    run_python(tmp_path, MANY_FAILURES, target.url)


INTERRUPTED = """
import json, os, pathlib, signal, sys
from perfcore import TestCase, TestRunner
progress = []
def interrupt(now):
    if now.tests[0].requests and not progress:
        progress.append(now)
        os.kill(os.getpid(), signal.SIGINT)
runner = TestRunner(procs=1, on_progress=interrupt)
case = TestCase(name="x", endpoint=sys.argv[1] + "/health", duration="30s")
try:
    runner.run(case)
except KeyboardInterrupt:
    pass
else:
    raise SystemExit("it was not raised")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
document = json.loads(pathlib.Path("results/latest/results.json").read_text())
assert document["verdict"] == "interrupted" and document["results"]["x"]["total_requests"] > 0
case = TestCase(name="x", endpoint=sys.argv[1] + "/health", iterations=5)
result = runner.run(case)
assert result.verdict == "passed" and result.total_requests == 5, "a stop is of one run"
"""


def test_the_first_ctrl_c_saves_the_result_and_is_raised_then(tmp_path, target):
    run_python(tmp_path, INTERRUPTED, target.url)


TWICE = """
import os, pathlib, signal, sys
from perfcore import TestCase, TestRunner
from integration.runs import children
begun = []
def interrupt(now):
    if now.tests[0].state in ("running", "draining"):
        begun.append(now)
        os.kill(os.getpid(), signal.SIGINT)
try:
    TestRunner(procs=2, on_progress=interrupt).run(
        TestCase(name="x", endpoint=sys.argv[1] + "/delay/20000", parallel_users=4, duration="30s"))
except KeyboardInterrupt:
    assert len(begun) == 2
    assert children(os.getpid()) == []
    assert list(pathlib.Path("results").iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
else:
    raise SystemExit("it was not raised")
"""


def test_the_second_ctrl_c_is_raised_at_once(tmp_path, target):
    program = f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})\n{TWICE}"
    run_python(tmp_path, program, target.url)


def test_a_handler_of_the_callers_own_is_left_alone(tmp_path, target):
    program = """
import signal, sys
from perfcore import TestCase, TestRunner
mine = lambda number, frame: None
signal.signal(signal.SIGINT, mine)
seen = []
case = TestCase(name="x", endpoint=sys.argv[1] + "/delay/400", iterations=2)
TestRunner(results_dir=None, on_progress=lambda _: seen.append(signal.getsignal(signal.SIGINT))).run(case)
assert set(seen) == {mine}
"""
    run_python(tmp_path, program, target.url)


def test_samples_are_closed_when_a_run_fails(tmp_path, target):
    program = """
import os, sys
from perfcore import TestCase, TestRunner
def fail(_progress):
    raise ZeroDivisionError
case = TestCase(name="x", endpoint=sys.argv[1] + "/delay/600", duration="5s")
runner = TestRunner(samples=True, on_progress=fail)
try:
    runner.run(case)
except ZeroDivisionError:
    fds = map("/proc/self/fd/{}".format, os.listdir("/proc/self/fd"))
    opened = [os.readlink(fd) for fd in fds if os.path.islink(fd)]
    assert not any("samples" in name for name in opened), opened
else:
    raise SystemExit("it was not raised")
"""
    run_python(tmp_path, program, target.url)
