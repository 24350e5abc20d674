"""Workers, supervisor and target that are killed or stopped: what was measured is kept, nothing is left behind."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import numpy
import pytest
from integration.runs import (
    ROOT,
    assert_numbers_add_up,
    both_engines,
    changed_perfcore,
    children,
    ended,
    interrupt,
    is_alive,
    one_test,
    run,
    started,
    suite_of,
    under_load,
    workers_of,
)
from waiting import wait_until


@both_engines
def test_a_killed_worker_leaves_what_it_had_measured(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/health", parallel_users=10, duration="1s")
    with started(tmp_path, suite, "--procs", "2", "--engine", engine) as process:
        workers = workers_of(process, 2)
        under_load(target, 1000)
        time.sleep(0.2)  # how many requests it has under way, a worker tells some times a second
        os.kill(workers[0], signal.SIGKILL)
        done = ended(process, tmp_path)
    assert done.code == 97
    assert done.document["verdict"] == "incomplete"
    assert any(
        re.match(r"worker 0 was killed by signal 9 at \d", text) for text in done.document["incidents"]
    )
    test = done.test("test")
    assert_numbers_add_up(test)
    # Only what the dead worker had under way may be missing: one request for each of its five users, and the one whose
    # row it was about to write (on the wire path the next request goes out before).
    assert 0 <= target.stats()["requests"] - test["attempts"] <= 6
    assert "INCOMPLETE" in done.stdout
    assert re.search(r"; \d requests? under way (is|are) in no total", done.document["incidents"][0])


def test_the_other_tests_still_run_after_a_worker_was_lost(tmp_path, target):
    suite = suite_of(
        target.url,
        "name: one, endpoint: /health, parallel_users: 4, duration: 800ms",
        "name: two, endpoint: /users/1, parallel_users: 4, iterations: 25",
    )
    with started(tmp_path, suite, "--procs", "2") as process:
        workers = workers_of(process, 2)
        under_load(target, 50)
        os.kill(workers[1], signal.SIGKILL)
        done = ended(process, tmp_path)
    assert done.code == 97
    assert done.test("two")["total_requests"] == 100


def sockets_with_a_name():
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return {words[7] for line in lines if len(words := line.split()) > 7 and "perfcore" in words[7].lower()}


@pytest.mark.parametrize("moment", ["while it starts", "under load"])
def test_nothing_survives_a_killed_supervisor(tmp_path, target, moment):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    in_shared_memory, named = set(os.listdir("/dev/shm")), sockets_with_a_name()
    suite = one_test(target.url, endpoint="/health", parallel_users=10, duration="30s")
    with started(tmp_path, suite, "--procs", "2", "--samples", TMPDIR=str(temporary)) as process:
        if moment == "under load":
            under_load(target)
            family = workers_of(process, 2)
        else:
            family = workers_of(process, 1)
        process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "workers gone", 1.0)
    # A second worker that was forked just before the kill is not in `family`; it holds no connection either.
    assert target.stats_when_closed()["open_connections"] == 0
    assert set(os.listdir("/dev/shm")) <= in_shared_memory
    assert sockets_with_a_name() <= named
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "results" / "latest").exists()


def test_the_embedded_target_dies_with_a_killed_supervisor(tmp_path):
    suite = one_test("embedded", endpoint="/health", duration="30s")
    with started(tmp_path, suite, "--procs", "1") as process:
        family = wait_until(
            lambda: len(children(process.pid)) == 2 and children(process.pid), "target and worker"
        )
        process.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in family), "both gone", 2.0)


def test_a_killed_embedded_target_is_counted_and_the_run_ends_in_time(tmp_path):
    suite = one_test("embedded", endpoint="/health", parallel_users=4, duration="1500ms")
    with started(tmp_path, suite, "--procs", "1") as process:
        target, worker = wait_until(
            lambda: len(children(process.pid)) == 2 and children(process.pid), "target and worker"
        )
        # The worker is forked later, and once it has used as much of the processor it is under load.
        wait_until(lambda: cpu_ticks(worker) >= 20, "a worker under load")
        os.kill(target, signal.SIGKILL)
        done = ended(process, tmp_path)
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["successful_requests"] > 0
    assert test["errors"]["refused"] > 0
    assert set(test["errors"]) <= {"refused", "reset", "closed", "truncated"}, test["failures"]
    assert "Traceback" not in done.stderr
    assert test["parallel_execution"]["total_duration_ms"] < 10_000
    assert not is_alive(worker)


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@both_engines
def test_a_stopped_supervisor_loses_nothing_and_counts_nothing_twice(tmp_path, target, engine):
    # Two blocks a ring: the workers soon find no free one, and count by themselves from then on.
    program = (
        "import perfcore.metrics.samples as samples\n"
        "samples.BLOCKS = 2\n"
        "samples.SampleRing.__init__.__defaults__ = (2,)\n"
    )
    in_the_rings = 2 * 2 * 4096
    suite = one_test(target.url, endpoint="/health", parallel_users=16, iterations=1500)
    arguments = ("--procs", "2", "--samples", "--engine", engine)
    with started(tmp_path, suite, *arguments, command=changed_perfcore(program)) as process:
        under_load(target)
        os.kill(process.pid, signal.SIGSTOP)
        under_load(target, target.stats()["requests"] + in_the_rings + 1000)
        os.kill(process.pid, signal.SIGCONT)
        done = ended(process, tmp_path)
    assert done.code == 0, done.stderr
    test = done.test("test")
    assert test["attempts"] == target.stats()["requests"] == 16 * 1500
    assert_numbers_add_up(test)
    rows = done.samples()
    assert len(rows) == test["total_requests"]
    # Each user's requests follow one another: none stands there twice, and none is missing.
    for user in range(1, 17):
        own = numpy.sort(rows[rows["user"] == user], order="issued_ns")
        assert len(own) == 1500
        assert (own["issued_ns"][1:] >= own["done_ns"][:-1]).all()


@both_engines
def test_a_stopped_worker_shows_in_response_time_and_not_in_lost_requests(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/health", parallel_users=4, duration="30s")
    with started(tmp_path, suite, "--procs", "1", "--engine", engine) as process:
        (worker,) = workers_of(process, 1)
        under_load(target)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(worker, signal.SIGCONT)
        under_load(target, target.stats()["requests"] + 500)
        interrupt(process)
        done = ended(process, tmp_path)
    test = done.test("test")
    assert test["attempts"] == target.stats()["requests"]
    assert test["timing"]["max_ms"] >= 490


STUCK_SOON = "from perfcore.engine import supervisor; supervisor.STUCK_AFTER_S = 0.5"


@pytest.mark.parametrize("ends_by", ["its planned end", "a signal"])
def test_a_worker_that_hangs_is_killed_and_the_result_is_incomplete(tmp_path, target, ends_by):
    duration = "800ms" if ends_by == "its planned end" else "60s"
    text = one_test(
        target.url, endpoint="/health", parallel_users=4, duration=duration, graceful_stop="200ms"
    )
    with started(tmp_path, text, "--procs", "2", command=changed_perfcore(STUCK_SOON)) as process:
        workers = workers_of(process, 2)
        under_load(target, 100)
        os.kill(workers[0], signal.SIGSTOP)
        if ends_by == "a signal":
            interrupt(process)
        done = ended(process, tmp_path)
    assert done.code == (97 if ends_by == "its planned end" else 105)
    assert "worker 0 did not end in time and was killed" in done.document["incidents"][0]
    assert done.test("test")["total_requests"] > 0
    assert_numbers_add_up(done.test("test"))
    assert not any(is_alive(pid) for pid in workers)


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
    text = one_test("embedded", endpoint="/health", iterations=3)
    done = run(tmp_path, text, "--quiet", command=[sys.executable, "-P", "-m", "perfcore"])
    assert done.code == 0, done.stderr
