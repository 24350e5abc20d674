"""The supervisor's decisions, with a group of workers that only a test talks for."""

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from perfcore.engine import supervisor as module
from perfcore.engine.plan import plan_run
from perfcore.engine.run_document import Instant
from perfcore.engine.supervisor import Supervisor
from perfcore.errors import SetupFailedError
from perfcore.metrics.run_memory import IN_FLIGHT, RunMemory
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


def supervisor_of(*names: str, workers: int = 2, **keys: Any) -> Supervisor:
    suite = TestSuite(
        name="s",
        base_url="http://127.0.0.1:1",
        tests=[TestCase(name=name, endpoint="/x") for name in names],
        **keys,
    )
    job: Any = SimpleNamespace(
        plan=plan_run(suite, workers), memory=RunMemory(workers, len(names)), masker=Masker.for_suite(suite)
    )
    sampler: Any = SimpleNamespace(sample=lambda: None)
    return Supervisor(job, sampler, on_progress=None, sample_file=None, start=Instant(0, 0))


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
