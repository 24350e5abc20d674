"""Signals, and streams that nobody reads: the run ends as it should, and its result is saved."""

import fcntl
import os
import pty
import signal
import termios
import threading
import time
from contextlib import suppress

import pytest
from integration.runs import (
    COMMAND,
    assert_numbers_add_up,
    both_engines,
    completed,
    ended,
    interrupt,
    is_alive,
    one_test,
    process_of,
    python,
    saved_document,
    shell,
    started,
    suite_of,
    under_load,
    workers_of,
    write_suite,
)
from waiting import wait_until

from perfcore.engine.stop_signals import ECHO_S


@both_engines
def test_a_signal_at_full_rate_costs_nothing_that_was_measured(tmp_path, target, engine):
    suite = one_test(target.url, endpoint="/health", parallel_users=20, duration="30s")
    with started(tmp_path, suite, "--procs", "2", "--samples", "--engine", engine) as process:
        under_load(target, 2000)
        interrupt(process)
        done = ended(process, tmp_path)
    assert done.code == 105
    test = done.test("test")
    assert_numbers_add_up(test)
    assert test["errors"] == {}
    assert test["interrupted_requests"] == 0
    assert test["engine"] == engine
    assert test["attempts"] == test["total_requests"] == target.stats()["requests"] == len(done.samples())


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
        time.sleep(3 * ECHO_S)
        interrupt(process)
        done = ended(process, tmp_path)
    assert done.code == 105
    assert list((tmp_path / "results").iterdir()) == []
    assert not any(is_alive(pid) for pid in workers)


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGINT), (signal.SIGTERM, signal.SIGHUP)])
def test_a_signal_that_comes_twice_is_one(tmp_path, target, numbers):
    """As timeout, a shell whose terminal closes and starters do it, when the first one is handled already."""
    suite = one_test(target.url, endpoint="/health", parallel_users=2, duration="30s")
    with started(tmp_path, suite, "--procs", "1") as process:
        under_load(target)
        for number in numbers:
            interrupt(process, number)
            time.sleep(0.01)
        done = ended(process, tmp_path)
    assert done.code == 105
    assert done.document["incidents"] == [f"interrupted by {numbers[0].name}"]
    assert done.test("test")["attempts"] == target.stats()["requests"]


def loading(statement: str) -> str:
    """A program that is perfcore, and does this in place of loading the suite."""
    return (
        "import atexit, os, signal, sys\n"
        "import perfcore.cli.run_command as command\n"
        f"def load(*_args, **_keys): {statement}\n"
        "command.load_suite = load\n"
        "sys.argv = ['perfcore', 'suite.yaml']\n"
        "from perfcore.__main__ import run\n"
        "sys.exit(run())\n"
    )


def test_a_signal_that_comes_twice_before_the_load_ends_with_105_as_well(tmp_path):
    """The second may come while Python ends, where it would be the cause of death."""
    load = "atexit.register(os.kill, os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT)"
    program = loading(load)
    done = completed(tmp_path, python(program))
    assert (done.code, done.stderr) == (105, "perfcore: interrupted\n")


@both_engines
@pytest.mark.parametrize("after_s", [0.0, 0.03, 0.1, 0.3])
def test_whenever_a_signal_comes_after_the_load_began_the_result_is_saved(tmp_path, engine, after_s):
    """From the first line of progress on, with a target that is started and ended with the run."""
    suite = one_test(
        "embedded",
        endpoint="/health",
        parallel_users=2,
        duration="30s",
        warmup="10s",
        until="{metric: p99, precision: 1%}",
    )
    with started(tmp_path, suite, "--procs", "2", "--engine", engine) as process:
        assert process.stderr is not None
        assert "started" in process.stderr.readline()
        time.sleep(after_s)
        interrupt(process)
        done = ended(process, tmp_path)
    assert done.code == 105
    assert done.document["verdict"] == "interrupted"


def test_an_interrupted_run_leaves_later_tests_out(tmp_path, target):
    suite = suite_of(
        target.url,
        "name: one, endpoint: /health, parallel_users: 4, duration: 30s",
        "name: two, endpoint: /users/1, parallel_users: 4, iterations: 25",
    )
    with started(tmp_path, suite) as process:
        under_load(target)
        interrupt(process)
        done = ended(process, tmp_path)
    assert list(done.document["results"]) == ["one"]
    assert done.document["incidents"] == ["interrupted by SIGINT", "not started: two"]


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


def test_what_was_ignored_at_the_start_stays_ignored(tmp_path, target):
    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    suite = one_test(target.url, endpoint="/health", duration="1s")
    with started(tmp_path, suite, "--procs", "1", preexec_fn=ignore) as process:
        under_load(target)
        interrupt(process, signal.SIGHUP)
        done = ended(process, tmp_path)
    assert done.code == 0


def test_an_interrupt_before_the_load_is_one_line(tmp_path):
    program = loading("raise KeyboardInterrupt")
    done = completed(tmp_path, python(program))
    assert (done.code, done.stderr) == (105, "perfcore: interrupted\n")


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


def command_line(suite, *arguments):
    return [*COMMAND, str(suite), "--procs", "1", "--results-dir", "results", *arguments]


def assert_saved(tmp_path, target, requests=None):
    document = saved_document(tmp_path)
    test = document["results"]["test"]
    assert_numbers_add_up(test)
    assert test["attempts"] == target.stats()["requests"]
    assert requests in (None, test["total_requests"])
    return document


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("$RUN | head -1; exit ${PIPESTATUS[0]}", "suite\n"),
        ("$RUN --json | head -c 1; exit ${PIPESTATUS[0]}", "{"),
        ("$RUN >&-", ""),
        ("$RUN 2>&-", None),
        ("$RUN 2> >(true)", None),
        ("$RUN 2>/dev/full", None),
        ("$RUN <&- >&- 2>&-", ""),
        ("setsid $RUN </dev/null >/dev/null 2>&1", ""),
    ],
)
def test_streams_that_nobody_reads_cost_nothing_but_what_was_written_there(tmp_path, target, line, said):
    text = one_test(target.url, endpoint="/health", parallel_users=2, iterations=300)
    words = command_line(write_suite(tmp_path, text))
    done = shell(tmp_path, line.replace("$RUN", '"$@"'), *words)
    assert done.code == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    if said is None:
        assert "600 requests" in done.stdout
    else:
        assert done.stdout == said
    assert_saved(tmp_path, target, 600)


def test_a_reader_of_the_progress_that_goes_away_ends_no_run(tmp_path, target):
    suite = one_test(target.url, endpoint="/health", parallel_users=2, duration="1200ms")
    with started(tmp_path, suite, "--procs", "1") as process:
        assert process.stderr is not None
        assert "started" in process.stderr.readline()
        process.stderr.close()
        process.stderr = None
        stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "PASSED" in stdout
    assert_saved(tmp_path, target)


def read_all(terminal):
    """What a terminal emulator does: a program that writes more than the kernel keeps would wait for it."""
    with suppress(OSError):
        while os.read(terminal, 65536):
            pass


@pytest.mark.parametrize("cause", ["SIGHUP", "SIGINT"])
def test_a_closed_terminal_or_its_ctrl_c_ends_the_run_and_the_result_is_saved(tmp_path, target, cause):
    """A closed window is SIGHUP and an error for whoever writes; Ctrl-C reaches every process of the group."""
    suite = write_suite(tmp_path, one_test(target.url, endpoint="/health", parallel_users=2, duration="30s"))
    terminal, end = pty.openpty()
    with process_of(
        tmp_path,
        command_line(suite),
        {"TERM": "xterm"},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(end)
        reader = threading.Thread(target=read_all, args=(terminal,))
        try:
            if cause == "SIGINT":
                reader.start()
            workers = workers_of(process, 1)
            under_load(target)
            if cause == "SIGINT":
                os.write(terminal, b"\x03")
            else:
                os.close(terminal)
            code = process.wait(30)
        finally:
            process.kill()
            process.wait(30)
            if cause == "SIGINT":
                reader.join(30)
                os.close(terminal)
    assert code == 105
    document = assert_saved(tmp_path, target)
    assert document["incidents"] == [f"interrupted by {cause}"]
    assert not any(is_alive(pid) for pid in workers)
