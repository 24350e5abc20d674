"""`from perfcore import TestRunner, TestCase`: the seed's example and what its result holds."""

import subprocess
import sys

import pytest
from integration.runs import ROOT, environment, write_suite
from integration.test_main_job import one_test
from target_process import running_target


@pytest.fixture(scope="module")
def target():
    with running_target() as running:
        yield running


def python(folder, program, *arguments):
    """A fresh interpreter, as a user's script is."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done


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
    done = python(tmp_path, SEED, target.url)
    assert (done.stdout, done.stderr) == ("", "")
    assert (tmp_path / "results" / "latest" / "results.json").exists()


def test_the_example_that_ships_prints_two_figures(tmp_path, target):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "basic_test.py"), f"{target.url}/users/profile"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
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
    python(tmp_path, program, str(path), target.url)
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
    python(tmp_path, program)


def test_importing_perfcore_costs_neither_numpy_nor_libcurl(tmp_path):
    program = (
        "import sys, perfcore; perfcore.__version__; "
        "assert not {'numpy', 'pycurl', 'pydantic'} & set(sys.modules)"
    )
    python(tmp_path, program)
