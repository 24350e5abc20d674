"""A run that a fresh interpreter supervises: it does what a run in this process does, and leaves nothing."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing import spawn
from pathlib import Path

import pytest
from integration.runs import children, is_alive, process_of, python, run_python
from target_process import TargetProcess
from waiting import wait_until

from perfcore.engine import fresh_interpreter
from perfcore.engine.fresh_interpreter import FreshInterpreter
from perfcore.engine.suite_run import RunOrder
from perfcore.engine.supervisor import now
from perfcore.errors import RunLostError, SetupFailedError, SuiteError
from perfcore.metrics.progress import RunProgress
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

ROOT = Path(__file__).resolve().parent.parent.parent
SECRET = "never-to-be-seen-4711"
# What a program in the supervisor's place does first.
IMPOSTOR = f"""#!{sys.executable}
import os, signal, socket, sys, time
sys.path[:0] = [{str(ROOT)!r}]
from perfcore.engine.message_channel import *
end = socket.socket(fileno=int(sys.argv[3]))
read_message(end)
say = MessageWriter(end).send
"""


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No child, no descriptor; those of fixtures of the whole file are there before."""
    before = children(os.getpid()), len(os.listdir("/proc/self/fd"))
    yield
    assert (children(os.getpid()), len(os.listdir("/proc/self/fd"))) == before


@pytest.fixture
def start_program(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Have this program started in the place of Python; returns its path."""

    def choose(text: str) -> str:
        program = tmp_path / "program"
        program.write_text(text)
        program.chmod(0o700)
        multiprocessing.set_executable(str(program))
        return str(program)

    before = spawn.get_executable()
    yield choose
    multiprocessing.set_executable(os.fsdecode(before))


def order_of(url: str, *, workers: int = 1, **keys: object) -> RunOrder:
    case = TestCase(
        name="x", headers={"Authorization": f"Bearer {SECRET}"}, **{"endpoint": "/health", **keys}
    )
    suite = TestSuite(name="s", base_url=url, tests=[case])
    suite.check()
    return RunOrder(suite=suite, workers=workers, seed=1, start=now())


NOWHERE = "http://127.0.0.1:9"


def run(order: RunOrder, on_progress: Callable[[RunProgress], None] | None = None) -> dict[str, object]:
    return FreshInterpreter(order, on_progress).run().document


def requests_of(document: dict[str, object]) -> object:
    return document["results"]["x"]["total_requests"]  # type: ignore[index]


# -- what it finds --------------------------------------------------------------------------------------------------


def test_it_finds_what_the_server_counts(target: TargetProcess) -> None:
    target.reset()
    seen: list[RunProgress] = []
    document = run(order_of(target.url, workers=2, parallel_users=5, iterations=20), seen.append)
    assert requests_of(document) == target.stats()["requests"] == 100
    assert document["verdict"] == "passed"
    assert document["environment"]["workers"] == 2  # type: ignore[index]
    assert seen[-1].tests[0].state == "done"
    assert seen[-1].tests[0].requests == 100


def test_it_starts_and_ends_the_embedded_target() -> None:
    assert requests_of(run(order_of("embedded", iterations=3))) == 3


def test_two_at_once_find_each_their_own(target: TargetProcess) -> None:
    both_run = threading.Barrier(2)
    found: dict[int, object] = {}

    def go(iterations: int) -> None:
        met: list[int] = []

        def meet(_progress: RunProgress) -> None:
            if not met:
                met.append(both_run.wait(20))

        found[iterations] = requests_of(
            run(order_of(target.url, endpoint="/delay/20", iterations=iterations), meet)
        )

    threads = [threading.Thread(target=go, args=(iterations,)) for iterations in (30, 31)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {30: 30, 31: 31}


def test_an_error_of_the_run_is_raised_as_it_is(start_program: Callable[[str], str]) -> None:
    start_program(IMPOSTOR + "from perfcore.errors import *\nsay(Failure.of(SuiteError(['one', 'two'])))")
    with pytest.raises(SuiteError, match="one\ntwo") as caught:
        run(order_of(NOWHERE))
    assert caught.value.mistakes == ("one", "two")


def test_nobody_has_to_listen_to_progress(target: TargetProcess) -> None:
    assert requests_of(run(order_of(target.url, iterations=2), None)) == 2


def test_while_the_callback_is_held_the_load_goes_on(target: TargetProcess) -> None:
    target.reset()
    calls: list[RunProgress] = []

    def hold(progress: RunProgress) -> None:
        calls.append(progress)
        wait_until(lambda: target.stats()["paths"].get("/delay/5", 0) == 120, "all requests were sent")

    document = run(order_of(target.url, endpoint="/delay/5", iterations=120), hold)
    assert requests_of(document) == 120
    assert calls[-1].tests[0].requests == 120


def test_a_callback_that_takes_its_time_hears_the_newest_only(start_program: Callable[[str], str]) -> None:
    start_program(
        IMPOSTOR
        + "from perfcore.metrics.progress import RunProgress\n"
        + "say(Ready())\nfor number in range(21): say(RunProgress(number, ()))"
    )
    calls: list[float] = []
    others = set(children(os.getpid()))

    def wait_for_the_end(progress: RunProgress) -> None:
        calls.append(progress.elapsed_s)
        supervisor = set(children(os.getpid())) - others
        wait_until(lambda: not any(map(is_alive, supervisor)), "everything was said")

    with pytest.raises(RunLostError):
        run(order_of(NOWHERE), wait_for_the_end)
    assert len(calls) <= 2
    assert calls[-1] == 20


# -- how it ends ----------------------------------------------------------------------------------------------------


def test_what_the_callback_raises_ends_the_run(target: TargetProcess) -> None:
    family: set[int] = set()

    def fail(_progress: RunProgress) -> None:
        family.update(descendants())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(order_of(target.url, workers=2, duration="30s"), fail)
    assert len(family) == 3
    # Workers whose supervisor is gone end by themselves, within a second.
    wait_until(lambda: not [pid for pid in family if is_alive(pid)], "its processes end")


def test_a_stop_before_the_start_and_one_from_another_thread_end_it(target: TargetProcess) -> None:
    early = FreshInterpreter(order_of(target.url, duration="30s"), None)
    early.request_stop("early")
    assert early.run().document["verdict"] == "interrupted"

    def stop_from_another_thread(_progress: RunProgress) -> None:
        thread = threading.Thread(target=lambda: later.request_stop("a reason\nof two lines"))
        thread.start()
        thread.join()

    later = FreshInterpreter(order_of(target.url, duration="30s"), stop_from_another_thread)
    document = later.run().document
    assert document["verdict"] == "interrupted"
    assert "interrupted by a reason of two lines" in document["incidents"]  # type: ignore[operator]
    later.request_stop("too late")


def test_abandoned_it_is_killed(target: TargetProcess) -> None:
    runner = FreshInterpreter(order_of(target.url, duration="30s"), lambda _: runner.abandon())
    with pytest.raises(RunLostError, match="abandoned"):
        runner.run()


def test_killed_it_is_told_and_its_workers_are_gone(target: TargetProcess) -> None:
    family: list[int] = []

    def kill(_progress: RunProgress) -> None:
        if not family:
            family.extend(descendants())
            os.kill(family[0], signal.SIGKILL)

    with pytest.raises(RunLostError, match="was killed by signal 9; what it had measured is lost"):
        run(order_of(target.url, workers=2, duration="30s"), kill)
    assert len(family) == 3
    wait_until(lambda: not [pid for pid in family if is_alive(pid)], "workers gone", 1.0)


def test_it_ends_with_the_thread_that_waits_for_it_killed(target: TargetProcess) -> None:
    program = f"""
import os, sys, threading
sys.path[:0] = [{str(ROOT / "tests")!r}]
from engine.test_fresh_interpreter import descendants, order_of
from perfcore.engine.fresh_interpreter import FreshInterpreter
def tell(progress):
    if progress.tests[0].requests:
        print(*descendants(), flush=True)
order = order_of(sys.argv[1], workers=2, duration="30s")
threading.Thread(target=FreshInterpreter(order, tell).run).start()
"""
    with process_of(ROOT, python(program, target.url)) as caller:
        assert caller.stdout is not None
        family = [int(word) for word in caller.stdout.readline().split()]
        caller.kill()
        assert len(family) == 3
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "nothing survives", 1.0)


def test_signals_of_the_terminal_are_the_callers(target: TargetProcess) -> None:
    counted: list[int] = []

    def signal_family(progress: RunProgress) -> None:
        requests = progress.tests[0].requests
        if requests and not counted:
            for pid in descendants():
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    os.kill(pid, number)
            counted.append(requests)
        elif counted and requests > counted[0]:
            runner.request_stop("enough")

    runner = FreshInterpreter(order_of(target.url, workers=2, duration="30s"), signal_family)
    document = runner.run().document
    assert document["incidents"] == ["interrupted by enough"]


def descendants() -> list[int]:
    """The supervisor of this process's run, then its workers."""
    found = [pid for pid in children(os.getpid()) if b"supervisor_process" in command_line(pid)]
    return [*found, *(worker for pid in found for worker in children(pid))]


def command_line(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


# -- what it starts from --------------------------------------------------------------------------------------------


def test_neither_command_line_nor_environment_tells_of_the_suite(target: TargetProcess) -> None:
    seen: list[bytes] = []

    def look(_progress: RunProgress) -> None:
        if not seen:
            for pid in descendants():
                seen.extend((command_line(pid), Path(f"/proc/{pid}/environ").read_bytes()))
        runner.request_stop("seen")

    runner = FreshInterpreter(order_of(target.url, endpoint="/delay/20", duration="30s"), look)
    runner.run()
    assert len(seen) == 4
    assert not [text for text in seen if SECRET.encode() in text or b"/delay" in text]


def test_what_a_caller_holds_back_and_ignores_is_not_inherited(target: TargetProcess) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    held = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO, signal.SIGCHLD])
    try:
        runner = FreshInterpreter(order_of(target.url, duration="30s"), lambda _: runner.request_stop("stop"))
        assert runner.run().document["verdict"] == "interrupted"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        signal.signal(signal.SIGCHLD, before)


def test_modules_are_found_where_the_caller_finds_them(
    target: TargetProcess, start_program: Callable[[str], str]
) -> None:
    start_program(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')  # without site-packages
    assert requests_of(run(order_of(target.url, iterations=2))) == 2


def test_a_directory_of_the_users_hides_no_module(
    target: TargetProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("perfcore", "statistics", "random"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is not the module')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert requests_of(run(order_of(target.url, iterations=2))) == 2


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("#!/bin/sh\nexit 3\n", "ended with exit code 3"),
        ("#!/bin/sh\necho first >&2\necho 'no such option' >&2\nexit 2\n", "exit code 2: no such option"),
        ("#!/bin/sh\nkill -9 $$\n", "was killed by signal 9"),
        ("#!/bin/sh\nexec sleep 60\n", "has not answered within 500ms"),
        ("#!/nowhere/python\n", "could not be started: No such file"),
        (
            IMPOSTOR + "say(Bug('Traceback\\nModuleNotFoundError: numpy'))",
            "cannot run perfcore: ModuleNotFound",
        ),
    ],
)
def test_a_python_that_does_not_come_up_is_told_with_the_way_out(
    start_program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    path = start_program(program)
    if "sleep" in program:
        monkeypatch.setattr(fresh_interpreter, "START_TIMEOUT_S", 0.5)
        monkeypatch.setattr(fresh_interpreter, "END_TIMEOUT_S", 0.1)
    with pytest.raises(SetupFailedError) as caught:
        run(order_of(NOWHERE))
    told = str(caught.value)
    assert "several threads" in told
    assert reason in told
    assert path in told
    assert "multiprocessing.set_executable" in told


def test_no_interpreter_at_all_is_told(start_program: Callable[[str], str]) -> None:
    start_program("")
    multiprocessing.set_executable("")
    with pytest.raises(SetupFailedError, match="names none"):
        run(order_of(NOWHERE))


def test_a_frozen_program_is_not_started_again(
    start_program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", start_program("#!/bin/sh\nexit 3\n"))
    with pytest.raises(SetupFailedError, match="names none"):
        run(order_of(NOWHERE))


def test_a_bug_keeps_its_traceback_without_secrets() -> None:
    order = order_of(NOWHERE)
    # Behind the back of its check.
    order.suite.tests[0].headers["X"] = f"${{NOPE:{SECRET}"
    with pytest.raises(
        RuntimeError, match=r"a bug of perfcore:\nTraceback[^$]* in _compile_headers"
    ) as caught:
        run(order)
    assert SECRET not in str(caught.value)


def test_what_it_says_when_it_dies_is_told_without_secrets(start_program: Callable[[str], str]) -> None:
    start_program(IMPOSTOR + f"say(Ready())\nos.write(2, b'malloc: {SECRET} is corrupt')\nos.abort()")
    with pytest.raises(RunLostError) as caught:
        run(order_of(NOWHERE))
    assert "was killed by signal 6: malloc: *** is corrupt" in str(caught.value)


def test_what_is_logged_there_is_logged_here(
    start_program: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    start_program(IMPOSTOR + "say(Ready())\nsay(LogLine('perfcore', 40, 'worker 1 met 100 %'))")
    with caplog.at_level(logging.WARNING, "perfcore"), pytest.raises(RunLostError):
        run(order_of(NOWHERE))
    assert [(each.name, each.levelno, each.getMessage()) for each in caplog.records] == [
        ("perfcore", 40, "worker 1 met 100 %")
    ]


def test_one_that_does_not_end_is_killed(
    start_program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh_interpreter, "END_TIMEOUT_S", 0.2)
    start_program(IMPOSTOR + "say(Ready())\nend.close()\ntime.sleep(60)")
    with pytest.raises(RunLostError, match="was killed by signal 9"):
        run(order_of(NOWHERE))


# -- whether it is needed -------------------------------------------------------------------------------------------


def test_threads_that_python_does_not_know_count_as_well() -> None:
    program = """
import ctypes, os, threading
from perfcore.engine.suite_run import process_has_one_thread
assert process_has_one_thread()
libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None) == 0
assert threading.active_count() == 1
assert not process_has_one_thread()
os._exit(0)
"""
    run_python(ROOT, program)
