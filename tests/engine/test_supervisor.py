"""The supervisor's decisions, with a group of workers that only a test talks for."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from metrics.rows import rows_of

from perfcore.engine import supervisor as module
from perfcore.engine.plan import plan_run
from perfcore.engine.run_document import Instant, exit_codes
from perfcore.engine.supervisor import Supervisor
from perfcore.errors import ExitCode, SetupFailedError, gravest
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.run_memory import FOLDED_BLOCKS, IN_FLIGHT, USERS, RunMemory
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite


class FakeGroup:
    def __init__(self, messages: Iterator[list[tuple[int, dict[str, Any] | None]]]) -> None:
        self._messages = messages
        self.killed: list[int] = []

    def receive(self, _timeout_s: float) -> list[tuple[int, dict[str, Any] | None]]:
        return next(self._messages, [])

    def kill_worker(self, worker: int) -> None:
        self.killed.append(worker)

    def cause_of_death(self, _worker: int) -> str:
        return "was killed by signal 9"


def supervisor_of(
    *names: str, workers: int = 2, test_keys: dict[str, Any] | None = None, **keys: Any
) -> Supervisor:
    suite = TestSuite(
        name="s",
        base_url="http://127.0.0.1:1",
        tests=[TestCase(name=name, endpoint="/x", **(test_keys or {})) for name in names],
        **keys,
    )
    job: Any = SimpleNamespace(
        plan=plan_run(suite, workers), memory=RunMemory(workers, len(names)), masker=Masker.for_suite(suite)
    )
    sampler: Any = SimpleNamespace(sample=lambda: None)
    return Supervisor(
        job, sampler, on_progress=None, sample_file=None, start=Instant(0, 0), limits=suite.limits
    )


def test_workers_that_are_ready_at_the_very_deadline_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READY_TIMEOUT_S", -1.0)
    group: Any = FakeGroup(iter([[(0, {"ready": True}), (1, {"ready": True})]]))
    assert supervisor_of("a")._await_ready(group, {0, 1}) == {0, 1}


def test_a_worker_that_is_never_ready_fails_the_setup_and_later_costs_itself_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "READY_TIMEOUT_S", 0.0)
    supervisor = supervisor_of("a", "b")
    first: Any = FakeGroup(iter([[(1, {"ready": True})]]))
    with pytest.raises(SetupFailedError, match="worker 0 was not ready"):
        supervisor._await_ready(first, {0, 1})
    supervisor.notes.tests[0].began = True
    second: Any = FakeGroup(iter([[(1, {"ready": True})]]))
    assert supervisor._await_ready(second, {0, 1}) == {1}
    assert second.killed == [0]
    assert supervisor.notes.lost_workers == 1
    assert "did not end in time and was killed" in supervisor.notes.incidents[0]


def test_a_crash_is_told_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    supervisor = supervisor_of("a", variables={"TOKEN": "hush-hush-hush"}, secrets=["TOKEN"])
    with caplog.at_level(logging.ERROR, "perfcore"):
        supervisor._hear(1, {"crash": "Traceback\nValueError: hush-hush-hush"})
    assert "ValueError" in caplog.text
    assert "hush-hush-hush" not in caplog.text + str(supervisor.notes.incidents)


def test_what_a_dead_worker_had_under_way_is_told() -> None:
    supervisor = supervisor_of("a", "b")
    memory = supervisor._job.memory
    memory.set_gauge(1, 0, IN_FLIGHT, 2)
    memory.set_gauge(1, 1, IN_FLIGHT, 1)
    group: Any = FakeGroup(iter([]))
    supervisor._bury(group, 1)
    assert supervisor.notes.incidents[0].endswith("; 3 requests under way are in no total")
    assert memory.total_gauge(0, IN_FLIGHT) == 0


def test_why_samples_of_a_worker_are_missing_is_heard() -> None:
    supervisor = supervisor_of("a")
    said = {"done": True, "samples_left_out": 3, "samples_error": "No space left on device"}
    assert supervisor._hear(0, said)
    assert supervisor.notes.samples_left_out == {0: 3}
    assert supervisor.notes.samples_error == "No space left on device"


def test_a_stop_is_the_planned_end_of_what_runs_and_of_nothing_else() -> None:
    supervisor = supervisor_of("a", "b")
    supervisor.request_stop("SIGINT")
    stop_ns = supervisor._job.memory.stop_ns
    assert stop_ns is not None
    assert [test.planned_end_ns for test in supervisor.collector.tests] == [None, None]
    running = supervisor_of("a", "b")
    running._start_tests((0,))
    start_ns = running.collector.tests[0].start_ns
    running._job.memory.accumulators[1].tests[0].begin(start_ns, None)
    running.request_stop("SIGINT")
    # The load was to begin a few milliseconds later: a stop before it leaves no time of load.
    assert running.collector.tests[0].planned_end_ns == start_ns
    assert running._job.memory.accumulators[1].tests[0].planned_end_ns == start_ns
    assert running.collector.tests[1].planned_end_ns is None


HALF_FAILED = "aborted: 50.0 % of the last 200 requests failed (limits.abort_on_error_rate: 50 %)"


def count(supervisor: Supervisor, test: int, requests: int, failed: int, worker: int | None = None) -> None:
    """Have requests counted, by a worker that found its ring full or by the supervisor."""
    memory = supervisor._job.memory
    figures = supervisor.collector if worker is None else memory.accumulators[worker]
    start_ns = supervisor.collector.tests[test].start_ns
    figures.tests[test].begin(start_ns, None)
    rows = rows_of(requests, case=test, start_ns=start_ns)
    rows["error"][:failed] = CODE["refused"]
    rows["status"][:failed] = 0
    figures.fold(rows)
    if worker is not None:
        memory.set_worker_word(worker, FOLDED_BLOCKS, 1)


def aborts(supervisor: Supervisor) -> str | None:
    supervisor._check_errors()
    assert supervisor._job.memory.stop_requested == (supervisor.notes.aborted_by is not None)
    return supervisor.notes.aborted_by


def test_failures_are_counted_over_all_tests_that_run_together() -> None:
    supervisor = supervisor_of("a", "b", mode="parallel", limits={"abort_on_error_rate": "50%"})
    supervisor._start_tests((0, 1))
    count(supervisor, 0, 100, 99)
    count(supervisor, 1, 99, 0)
    assert aborts(supervisor) is None  # 99 of 199
    count(supervisor, 1, 1, 1)
    assert aborts(supervisor) == HALF_FAILED


def test_failures_that_stalled_workers_counted_are_seen() -> None:
    supervisor = supervisor_of("a", limits={"abort_on_error_rate": "50%"})
    supervisor._start_tests((0,))
    count(supervisor, 0, 100, 0)
    count(supervisor, 0, 100, 100, worker=1)
    assert aborts(supervisor) == HALF_FAILED


def test_without_the_limit_failures_end_nothing() -> None:
    supervisor = supervisor_of("a")
    supervisor._start_tests((0,))
    count(supervisor, 0, 1000, 1000)
    assert aborts(supervisor) is None


def test_a_run_that_is_being_ended_breaks_no_limit_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = supervisor_of("a", limits={"abort_on_error_rate": "1%", "max_duration": "1s"})
    supervisor._start_tests((0,))
    supervisor.request_stop("SIGINT")
    count(supervisor, 0, 1000, 1000)
    after_ns = supervisor.collector.tests[0].start_ns + 2_000_000_000
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: after_ns)
    supervisor._check_errors()
    supervisor._check_duration()
    assert supervisor.notes.aborted_by is None
    assert exit_codes(supervisor.collector.tests, supervisor.notes)[0] == ExitCode.INTERRUPTED


def test_a_signal_after_a_limit_was_broken_decides_the_exit_code() -> None:
    supervisor = supervisor_of("a", limits={"abort_on_error_rate": "1%"})
    supervisor._start_tests((0,))
    count(supervisor, 0, 1000, 1000)
    assert aborts(supervisor) is not None
    codes = exit_codes(supervisor.collector.tests, supervisor.notes)
    assert gravest(codes) == ExitCode.ABORTED
    supervisor.request_stop("SIGINT")
    codes = exit_codes(supervisor.collector.tests, supervisor.notes)
    assert gravest(codes) == ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("duration", "elapsed_s", "ends"),
    [
        ("30s", 0.999, False),
        ("30s", 1.0, True),
        (None, 1.0, True),
        ("1s", 1.5, False),  # it only drains
        ("900ms", 1.5, False),
    ],
)
def test_the_time_of_the_run_ends_what_would_go_on(
    monkeypatch: pytest.MonkeyPatch, duration: str | None, elapsed_s: float, ends: bool
) -> None:
    suite_keys = {"iterations": 10**6} if duration is None else {"duration": duration}
    supervisor = supervisor_of("a", limits={"max_duration": "1s"}, test_keys=suite_keys)
    supervisor._start_tests((0,))
    now_ns = supervisor.collector.tests[0].start_ns + round(elapsed_s * 1e9)
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: now_ns)
    supervisor._check_duration()
    assert supervisor.notes.aborted_by == ("ended by limits.max_duration (1s)" if ends else None)


def test_no_test_begins_when_the_time_of_the_run_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = supervisor_of("a", "b", limits={"max_duration": "1s"})
    supervisor._start_tests((0,))
    supervisor._phase = ()
    after_ns = supervisor.collector.tests[0].start_ns + 1_000_000_000
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: after_ns)
    supervisor._check_duration()
    assert supervisor._is_stopping


def state_at(
    monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor, elapsed_s: float, busy: int = 0
) -> tuple[str, str]:
    """Of two tests that run together, the first with so many busy users, the second with one."""
    memory = supervisor._job.memory
    memory.set_gauge(0, 0, USERS, busy)
    memory.set_gauge(1, 1, USERS, 1)
    now_ns = supervisor.collector.tests[0].start_ns + round(elapsed_s * 1e9)
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: now_ns)
    supervisor._tick((0, 1))
    first, second = (supervisor._progress_of(index, now_ns).state for index in (0, 1))
    return first, second


def test_a_test_whose_time_is_over_is_done_when_nobody_is_busy_though_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supervisor = supervisor_of("a", "b", mode="parallel", test_keys={"duration": "2s"})
    supervisor._start_tests((0, 1))
    longer = supervisor.collector.tests[1]
    longer.begin(longer.start_ns, longer.start_ns + 60_000_000_000)
    assert state_at(monkeypatch, supervisor, 1.9) == ("running", "running"), "nobody is busy just then"
    assert state_at(monkeypatch, supervisor, 2.1, busy=1) == ("draining", "running")
    assert state_at(monkeypatch, supervisor, 2.4) == ("draining", "running"), "rows may still be on their way"
    assert state_at(monkeypatch, supervisor, 3.3) == ("draining", "running")
    assert state_at(monkeypatch, supervisor, 3.5) == ("done", "running")
    assert state_at(monkeypatch, supervisor, 9.0) == ("done", "running")


def test_a_test_drains_as_long_as_somebody_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = supervisor_of("a", "b", mode="parallel", test_keys={"duration": "2s"})
    supervisor._start_tests((0, 1))
    for elapsed_s in (2.1, 3.5, 30.0):
        assert state_at(monkeypatch, supervisor, elapsed_s, busy=1)[0] == "draining"


def test_a_test_that_has_sent_all_it_was_to_send_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = supervisor_of("a", "b", mode="parallel", test_keys={"total_iterations": 100})
    supervisor._start_tests((0, 1))
    count(supervisor, 0, 99, 0)
    assert state_at(monkeypatch, supervisor, 1.0) == ("running", "running")
    count(supervisor, 0, 1, 0)
    assert state_at(monkeypatch, supervisor, 1.1, busy=1) == ("running", "running")
    assert state_at(monkeypatch, supervisor, 1.2) == ("done", "running")


def test_an_open_model_that_has_sent_all_lasts_to_its_planned_end(monkeypatch: pytest.MonkeyPatch) -> None:
    supervisor = supervisor_of("a", "b", mode="parallel", test_keys={"rate": 50, "duration": "2s"})
    supervisor._start_tests((0, 1))
    count(supervisor, 0, 100, 0)
    first = supervisor.collector.tests[0]
    first.begin(first.start_ns, first.start_ns + 2_000_000_000)
    assert state_at(monkeypatch, supervisor, 1.9) == ("running", "running")
    assert state_at(monkeypatch, supervisor, 2.1) == ("draining", "draining")
    assert state_at(monkeypatch, supervisor, 3.1) == ("done", "draining")


def test_garbage_of_a_run_does_not_pile_up() -> None:
    """In a process of its own: niceness cannot be taken back."""
    program = """
import gc, os, weakref
from perfcore.engine.supervisor import SUPERVISOR_NICENESS, settle_for_the_run

class Knot:
    def __init__(self):
        self.itself = self

gc.set_threshold(100_000)  # as for a start
settle_for_the_run()
knots = [weakref.ref(Knot()) for _ in range(10_000)]
left = sum(knot() is not None for knot in knots)
assert left < 1_000, left
assert os.nice(0) >= SUPERVISOR_NICENESS
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
