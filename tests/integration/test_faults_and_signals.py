"""Killed, stopped and interrupted runs: what was measured is kept, nothing is left behind."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from integration.runs import (
    ROOT,
    assert_numbers_add_up,
    children,
    ended,
    environment,
    interrupt,
    is_alive,
    one_test,
    run,
    started,
    wait_until,
    workers_of,
    write_suite,
)
from target_process import running_target


def under_load(target, requests=500):
    wait_until(lambda: target.stats()["requests"] >= requests, f"{requests} requests")


def test_a_killed_worker_leaves_what_it_had_measured(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", parallel_users=10, duration="2s")
    with started(tmp_path, suite, "--procs", "2") as process:
        workers = workers_of(process, 2)
        under_load(target, 3000)
        os.kill(workers[0], signal.SIGKILL)
        done = ended(process, tmp_path)
    assert done.code == 97
    assert done.document["verdict"] == "incomplete"
    assert any(
        re.match(r"worker 0 was killed by signal 9 at \d", text) for text in done.document["incidents"]
    )
    test = done.test("test")
    assert_numbers_add_up(test)
    # Only what the dead worker had under way may be missing: one request for each of its five users.
    assert 0 <= target.stats()["requests"] - test["attempts"] <= 5
    assert "INCOMPLETE" in done.stdout
    assert re.search(r"; \d requests? under way (is|are) in no total", done.document["incidents"][0])


def test_the_other_tests_still_run_after_a_worker_was_lost(tmp_path, target):
    suite = f"""
test_suite:
  name: two
  base_url: {target.url}
  tests:
    - {{name: one, endpoint: /health, parallel_users: 4, duration: 1500ms}}
    - {{name: two, endpoint: /users/1, parallel_users: 4, iterations: 25}}
"""
    with started(tmp_path, suite, "--procs", "2") as process:
        workers = workers_of(process, 2)
        under_load(target, 50)
        os.kill(workers[1], signal.SIGKILL)
        done = ended(process, tmp_path)
    assert done.code == 97
    assert done.test("two")["total_requests"] == 100


def test_no_worker_outlives_a_killed_supervisor(tmp_path, target):
    before = set(os.listdir("/dev/shm"))
    suite = one_test(target.url, endpoint="/health", parallel_users=10, duration="30s")
    with started(tmp_path, suite, "--procs", "2") as process:
        workers = workers_of(process, 2)
        under_load(target)
        process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in workers), "workers gone", 1.0)
    assert set(os.listdir("/dev/shm")) <= before
    assert not (tmp_path / "results" / "latest").exists()


def test_the_embedded_target_dies_with_a_killed_supervisor(tmp_path):
    suite = one_test("embedded", endpoint="/health", duration="30s")
    with started(tmp_path, suite, "--procs", "1") as process:
        family = wait_until(
            lambda: len(children(process.pid)) == 2 and children(process.pid), "target and worker"
        )
        process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "both gone", 2.0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_drains_and_saves(tmp_path, target, number):
    suite = one_test(target.url, endpoint="/delay/200", parallel_users=6, duration="30s")
    with started(tmp_path, suite, "--procs", "2") as process:
        under_load(target, 12)
        interrupt(process, number)
        done = ended(process, tmp_path)
    assert done.code == 105
    assert done.document["verdict"] == "interrupted"
    test = done.test("test")
    assert test["attempts"] == target.stats()["requests"]
    assert test["interrupted_requests"] == 0
    assert_numbers_add_up(test)
    assert "once more to leave at once" in done.stderr


def test_the_second_signal_leaves_at_once(tmp_path, target):
    suite = one_test(target.url, endpoint="/delay/20000", parallel_users=4, duration="30s")
    with started(tmp_path, suite, "--procs", "2") as process:
        workers = workers_of(process, 2)
        wait_until(lambda: target.stats()["open_connections"] >= 4, "requests under way")
        interrupt(process)
        time.sleep(0.3)  # two signals at the same instant are one to the kernel
        interrupt(process)
        done = ended(process, tmp_path)
    assert done.code == 105
    assert list((tmp_path / "results").iterdir()) == []
    assert not any(is_alive(pid) for pid in workers)


def test_an_interrupted_run_leaves_later_tests_out(tmp_path, target):
    suite = f"""
test_suite:
  name: two
  base_url: {target.url}
  tests:
    - {{name: one, endpoint: /health, parallel_users: 4, duration: 30s}}
    - {{name: two, endpoint: /users/1, parallel_users: 4, iterations: 25}}
"""
    with started(tmp_path, suite) as process:
        under_load(target)
        interrupt(process)
        done = ended(process, tmp_path)
    assert list(done.document["results"]) == ["one"]
    assert done.document["incidents"] == ["interrupted by SIGINT", "not started: two"]


def test_a_stopped_supervisor_loses_nothing_and_counts_nothing_twice(tmp_path, target):
    # Two blocks a ring, so that the workers find no free one while the supervisor sleeps and count by themselves.
    program = (
        "import sys, perfcore.metrics.samples as samples\n"
        "samples.BLOCKS = 2\n"
        "samples.SampleRing.__init__.__defaults__ = (2,)\n"
        "from perfcore.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    suite = write_suite(tmp_path, one_test(target.url, endpoint="/health", parallel_users=16, duration="4s"))
    command = [
        sys.executable,
        "-c",
        program,
        str(suite),
        "--procs",
        "2",
        "--samples",
        "--results-dir",
        "results",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            under_load(target)
            os.kill(process.pid, signal.SIGSTOP)
            before = target.stats()["requests"]
            wait_until(lambda: target.stats()["requests"] > before + 30_000, "load goes on without it")
            os.kill(process.pid, signal.SIGCONT)
            done = ended(process, tmp_path)
        finally:
            process.kill()
    assert done.code == 0, done.stderr
    test = done.test("test")
    assert test["attempts"] == target.stats()["requests"]
    assert_numbers_add_up(test)
    import numpy

    rows = numpy.load(tmp_path / "results" / "latest" / "samples.npy")
    assert len(rows) == test["total_requests"]


def test_a_stopped_worker_shows_in_response_time_and_not_in_lost_requests(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", parallel_users=4, duration="2500ms")
    with started(tmp_path, suite, "--procs", "1") as process:
        (worker,) = workers_of(process, 1)
        under_load(target)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(worker, signal.SIGCONT)
        done = ended(process, tmp_path)
    test = done.test("test")
    assert test["attempts"] == target.stats()["requests"]
    assert test["timing"]["max_ms"] >= 990


def test_a_server_that_dies_in_mid_run_is_counted_and_the_run_ends_in_time(tmp_path):
    with running_target() as target:
        suite = one_test(target.url, endpoint="/health", parallel_users=8, duration="1500ms")
        with started(tmp_path, suite, "--procs", "2") as process:
            under_load(target)
            target.kill()
            done = ended(process, tmp_path)
    test = done.test("test")
    assert test["successful_requests"] >= 500
    assert test["errors"]["refused"] > 0
    assert set(test["errors"]) <= {"refused", "reset", "closed"}, test["failures"]
    assert_numbers_add_up(test)
    assert done.code == 0  # failed requests are no failed run unless a threshold says so


def test_a_closed_stdout_costs_nothing_but_the_summary(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", iterations=5)
    with started(tmp_path, suite) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in stderr
    assert (tmp_path / "results" / "latest" / "results.json").exists()


def test_an_embedded_target_that_cannot_start_is_one_line(tmp_path):
    # A module of the same name that ends at once stands before the real one.
    fake = tmp_path / "perfcore" / "target"
    fake.mkdir(parents=True)
    for source in (ROOT / "perfcore").iterdir():
        if source.name not in ("target", "__pycache__"):
            (tmp_path / "perfcore" / source.name).symlink_to(source)
    for source in (ROOT / "perfcore" / "target").glob("*.py"):
        (fake / source.name).symlink_to(source)
    (fake / "__main__.py").unlink()
    (fake / "__main__.py").write_text("import sys; sys.exit('no server today')\n")
    done = run(tmp_path, one_test("embedded", endpoint="/health"), PYTHONPATH=str(tmp_path))
    assert done.code == 107
    assert done.stderr.splitlines()[-1] == ("perfcore: the embedded target did not start: no server today")
    assert list(Path(tmp_path / "results").iterdir()) == []


def test_what_the_users_directory_holds_is_no_concern_of_the_embedded_target(tmp_path):
    (tmp_path / "asyncio.py").write_text("raise SystemExit('not the real one')\n")
    command = [sys.executable, "-P", "-m", "perfcore"]
    suite = write_suite(tmp_path, one_test("embedded", endpoint="/health", iterations=3))
    done = subprocess.run(
        [*command, str(suite), "--results-dir", "results", "--quiet"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_the_drain_after_a_signal_is_no_load(tmp_path, target):
    suite = one_test(target.url, endpoint="/delay/800", parallel_users=10, duration="30s")
    with started(tmp_path, suite, "--procs", "2") as process:
        wait_until(lambda: target.stats()["open_connections"] >= 10, "requests under way")
        time.sleep(0.2)
        interrupt(process)
        done = ended(process, tmp_path)
    test = done.test("test")
    assert test["total_requests"] == 10
    # All ten were answered after the signal: none counts, and the time after it is the drain.
    assert test["requests_per_second"] == 0
    parallel = test["parallel_execution"]
    assert 100 < parallel["drain_ms"] < 800
    assert parallel["total_duration_ms"] + parallel["drain_ms"] >= 800
    assert test["timeline"]["users"][:5] == [10] * 5


STUCK_SOON = (
    "import sys\n"
    "from perfcore.engine import supervisor\n"
    "supervisor.STUCK_AFTER_S = 0.5\n"
    "from perfcore.cli.main import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


@pytest.mark.parametrize("ends_by", ["its planned end", "a signal"])
def test_a_worker_that_hangs_is_killed_and_the_result_is_incomplete(tmp_path, target, ends_by):
    duration = "1200ms" if ends_by == "its planned end" else "60s"
    text = one_test(
        target.url, endpoint="/health", parallel_users=4, duration=duration, graceful_stop="200ms"
    )
    command = [sys.executable, "-c", STUCK_SOON, str(write_suite(tmp_path, text)), "--procs", "2"]
    with subprocess.Popen(
        [*command, "--results-dir", "results"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            workers = workers_of(process, 2)
            under_load(target, 100)
            os.kill(workers[0], signal.SIGSTOP)
            if ends_by == "a signal":
                interrupt(process)
            done = ended(process, tmp_path)
        finally:
            process.kill()
    assert done.code == (97 if ends_by == "its planned end" else 105)
    assert "worker 0 did not end in time and was killed" in done.document["incidents"][0]
    assert done.test("test")["total_requests"] > 0
    assert_numbers_add_up(done.test("test"))
    assert not any(is_alive(pid) for pid in workers)


def test_a_disk_that_refuses_samples_costs_the_samples_alone(tmp_path, target):
    text = one_test(target.url, endpoint="/health", parallel_users=4, iterations=5000)
    suite = write_suite(tmp_path, text)
    limit_bytes = 400_000

    def files_stay_small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    done = subprocess.run(
        [sys.executable, "-m", "perfcore", str(suite), "--samples", "--results-dir", "results"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=files_stay_small,
    )
    assert done.returncode == 106, done.stderr
    assert "Traceback" not in done.stderr
    import json

    import numpy

    latest = tmp_path / "results" / "latest"
    document = json.loads((latest / "results.json").read_text())
    assert document["verdict"] == "passed"
    assert document["exit_code"] == 106
    assert document["results"]["test"]["total_requests"] == 20_000
    kept = len(numpy.load(latest / "samples.npy"))
    said = f"samples.npy lacks {20_000 - kept:,} requests: File too large"
    assert said in document["incidents"]
    assert said in done.stderr
    assert "20,000" in done.stdout


def test_more_users_than_descriptors_is_one_line_before_the_first_request(tmp_path, target):
    suite = write_suite(tmp_path, one_test(target.url, endpoint="/health", parallel_users=300))
    done = subprocess.run(
        [sys.executable, "-m", "perfcore", str(suite), "--procs", "2", "--results-dir", "results"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)),
    )
    assert done.returncode == 107
    assert done.stderr.splitlines()[-1] == (
        "perfcore: a worker with 150 users needs 190 file descriptors and the hard limit is 128: "
        "raise it (ulimit -n 190), or ask for fewer users"
    )
    assert target.stats()["requests"] == 0


def test_what_was_ignored_at_the_start_stays_ignored(tmp_path, target):
    suite = write_suite(tmp_path, one_test(target.url, endpoint="/health", duration="1500ms"))
    with subprocess.Popen(
        [sys.executable, "-m", "perfcore", str(suite), "--procs", "1", "--results-dir", "results"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    ) as process:
        try:
            under_load(target)
            interrupt(process, signal.SIGHUP)
            done = ended(process, tmp_path)
        finally:
            process.kill()
    assert done.code == 0


def test_an_interrupt_before_the_load_is_one_line(tmp_path):
    program = (
        "import sys\n"
        "import perfcore.cli.run_command as command\n"
        "def load(*_args, **_keys): raise KeyboardInterrupt\n"
        "command.load_suite = load\n"
        "from perfcore.cli.main import main\n"
        "sys.exit(main(['suite.yaml']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (105, "perfcore: interrupted\n")


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
    assert set(users) == {6}


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
    done = subprocess.run(
        [sys.executable, "-c", program, f"{target.url}/health"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
