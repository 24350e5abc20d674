"""The supervisor's side of a run: phases, draining, progress, deaths. TestRunner is its public face.

It has one thread. Ten times a second it drains the rings and looks for messages; between two looks it sleeps,
and a worker never waits for it.
"""

import gc
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from perfcore.engine.failure_samples import SAMPLES_PER_KIND
from perfcore.engine.measuring import Measuring
from perfcore.engine.plan import deal
from perfcore.engine.run_document import Instant, RunNotes, TestNotes
from perfcore.engine.run_limits import LimitWatch
from perfcore.engine.test_endings import TestEndings
from perfcore.engine.worker import WorkerJob, worker_main
from perfcore.engine.worker_group import WorkerGroup
from perfcore.errors import SetupFailedError
from perfcore.metrics.environment import SAMPLE_EVERY_S, EnvironmentSampler
from perfcore.metrics.lag_growth import LagGrowth
from perfcore.metrics.metrics_collector import MetricsCollector
from perfcore.metrics.progress import RunProgress, TestProgress, TestState
from perfcore.metrics.run_memory import (
    ARRIVALS,
    DROPPED,
    FOLDED_BLOCKS,
    IN_FLIGHT,
    MAX_IN_FLIGHT,
    MAX_USERS,
    USERS,
    WARMUP_DROPPED,
)
from perfcore.metrics.samples import Rows, SampleFile, SampleReader
from perfcore.metrics.worker_spread import WorkerSpread
from perfcore.suite.limits import Limits
from perfcore.units import format_duration

_log = logging.getLogger("perfcore")

# Only in a process of perfcore's own: niceness cannot be taken back.
SUPERVISOR_NICENESS = 5
TICK_S = 0.1
PROGRESS_EVERY_S = 0.25
RECENT_NS = 3_000_000_000
READY_TIMEOUT_S = 60.0
# From the announcement of a phase to its start: every worker has to have read the message by then.
START_IN_NS = 30_000_000
# A worker that has not ended so long after its time, drain included, hangs: it is killed, and the run goes on.
STUCK_AFTER_S = 10.0


# When Python looks for garbage by itself; a start may have told it to wait.
_GARBAGE_THRESHOLDS = 700, 10, 10


def now() -> Instant:
    return Instant(time.monotonic_ns(), time.time_ns())


def settle_for_the_run() -> None:
    """Let the workers go first, and leave garbage for no longer than usual: a run of ten minutes piles up megabytes.

    For a process of perfcore's own. What the start made is looked at no more.
    """
    os.nice(SUPERVISOR_NICENESS)
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)


class Supervisor:
    """Runs every phase of a job. `request_stop` may be called at any time, from a signal handler too."""

    def __init__(
        self,
        job: WorkerJob,
        sampler: EnvironmentSampler,
        *,
        on_progress: Callable[[RunProgress], None] | None,
        sample_file: SampleFile | None,
        start: Instant,
        limits: Limits | None = None,
        owns_process: bool = False,
    ) -> None:
        self._job = job
        self._plan = job.plan
        self._sampler = sampler
        self._on_progress = on_progress
        self._sample_file = sample_file
        self._limits = LimitWatch(limits)
        self._owns_process = owns_process
        self.collector = MetricsCollector(len(self._plan.cases))
        self.notes = RunNotes(start=start, tests=[TestNotes() for _ in self._plan.cases])
        self._states: list[TestState] = ["waiting"] * len(self._plan.cases)
        self._phase: tuple[int, ...] = ()  # the tests that run
        self._overdue_since_ns: int | None = None
        self._group: WorkerGroup | None = None
        self.measuring = Measuring(self._plan, self.collector, job.memory)
        self._endings = TestEndings(self._plan, self.collector, job.memory)
        self.spread = WorkerSpread()
        self._lag_growth = LagGrowth(self._plan.workers)
        self._readers = [SampleReader(ring) for ring in job.memory.rings]
        self._next_sample_s = 0.0
        self._next_progress_s = 0.0

    def request_stop(self, reason: str) -> None:
        """Start nothing more, finish what is under way, end the run as interrupted."""
        if self.notes.interrupted_by is None:
            self.notes.interrupted_by = reason
        self._stop()

    def _abort(self, reason: str) -> None:
        """A limit was broken: the run ends as by request_stop, but as aborted."""
        self.notes.aborted_by = reason
        self._stop()

    def _stop(self) -> None:
        self._job.memory.request_stop()
        self._end_running_tests()

    @property
    def _is_stopping(self) -> bool:
        return self._job.memory.stop_requested

    def _end_running_tests(self) -> None:
        """The instant of a stop becomes the planned end of what is running: later completions are the drain."""
        stop_ns = self._job.memory.stop_ns
        if stop_ns is None:
            return
        for index in self._phase:
            self.collector.tests[index].end_by(stop_ns)
            for accumulator in self._job.memory.accumulators:
                accumulator.tests[index].end_by(stop_ns)

    def kill(self) -> None:
        """End the workers at once."""
        if self._group is not None:
            self._group.kill()

    def run(self) -> None:
        """All phases; afterwards `collector` and `notes` hold what there is to know."""
        with self._workers() as group:
            if self._owns_process:
                settle_for_the_run()  # after the fork
            self._sampler.watch(group.pids)
            for phase in self._plan.phases:
                self._check_duration()
                if self._is_stopping or not group.alive:
                    break
                self._run_phase(group, phase)
            self._tell_progress()
            if self.notes.aborted_by is not None:
                self.notes.incidents.append(self.notes.aborted_by)
            if self.notes.interrupted_by is not None:
                self.notes.incidents.append(f"interrupted by {self.notes.interrupted_by}")
            self._sampler.sample_last()
            group.quit()
        self._merge_accumulators()
        for index, notes in enumerate(self.notes.tests):
            if notes.began:
                most_users = self._job.memory.total_gauge(index, MAX_USERS)
                self.collector.tests[index].timeline.fill_users(most_users)
        self.notes.end = now()

    @contextmanager
    def _workers(self) -> Iterator[WorkerGroup]:
        self._group = group = WorkerGroup(
            self._plan.workers, lambda index, channel, pid: worker_main(index, channel, pid, self._job)
        )
        try:
            yield group
        finally:
            group.kill()

    # -- one phase --------------------------------------------------------------------------------------------

    def _run_phase(self, group: WorkerGroup, phase: tuple[int, ...]) -> None:
        deals = self._deal(group, phase)
        for worker, cases in deals.items():
            group.send(worker, {"deals": cases})
        busy = self._await_ready(group, set(deals))
        if self._is_stopping:
            return
        self._start_tests(phase)
        for worker in busy:
            group.send(worker, {"start_ns": self.collector.tests[phase[0]].start_ns})
        while busy:
            for worker, message in group.receive(TICK_S):
                if message is None:
                    self._bury(group, worker)
                    busy.discard(worker)
                elif self._hear(worker, message):
                    busy.discard(worker)
            if busy and self._is_stuck():
                self._kill_stuck(group, busy)
            self._tick(phase)
            self._check_errors()
            if busy:
                self._check_duration()
        self._drain()
        self._phase = ()
        for index in phase:
            notes = self.notes.tests[index]
            # No sum of the workers' own maxima: those were at different instants.
            largest = self._job.memory.largest_gauge(index, MAX_IN_FLIGHT)
            notes.max_in_flight = max(notes.max_in_flight, largest)
            notes.seconds_of_growing_lag = self._lag_growth.longest_s
            notes.until = self.measuring.until_facts(index)
            before = self.measuring.settle(index)
            notes.arrivals = self._job.memory.total_gauge(index, ARRIVALS) - before[0]
            notes.dropped = self._job.memory.total_gauge(index, DROPPED) - before[1]
            notes.warmup_dropped = self._job.memory.total_gauge(index, WARMUP_DROPPED) + before[1]
            self._states[index] = "done"

    def _start_tests(self, phase: tuple[int, ...]) -> None:
        start_ns = time.monotonic_ns() + START_IN_NS
        for index in phase:
            plan = self._plan.cases[index]
            end_ns = None if plan.duration_s is None else start_ns + round(plan.duration_s * 1e9)
            self.collector.tests[index].begin(start_ns, end_ns, round(plan.case.warmup_s * 1e9))
            self.measuring.begin(index)
            self.notes.tests[index].began = True
            self._states[index] = "running"
        self._phase = phase
        self._lag_growth = LagGrowth(self._plan.workers)
        self._overdue_since_ns = None
        self._limits.begin(start_ns)
        self._end_running_tests()  # a stop may just have come

    def _deal(self, group: WorkerGroup, phase: tuple[int, ...]) -> dict[int, dict[str, tuple[int, int]]]:
        """For each worker that takes part: its rank among how many, by test."""
        deals: dict[int, dict[str, tuple[int, int]]] = {}
        ranks = deal([self._plan.cases[index].case for index in phase], group.alive)
        for index, workers in zip(phase, ranks, strict=True):
            for rank, worker in enumerate(workers):
                deals.setdefault(worker, {})[str(index)] = (rank, len(workers))
        return deals

    def _await_ready(self, group: WorkerGroup, expected: set[int]) -> set[int]:
        waiting, ready = set(expected), set()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while waiting:
            for worker, message in group.receive(TICK_S):
                if message is None:
                    self._bury(group, worker)
                    waiting.discard(worker)
                    self._check_memory(group, worker)
                elif "ready" in message:
                    waiting.discard(worker)
                    ready.add(worker)
                else:
                    self._hear(worker, message)
            if self._is_stopping:
                deadline = min(deadline, time.monotonic() + STUCK_AFTER_S)
            if waiting and time.monotonic() > deadline:
                if not any(notes.began for notes in self.notes.tests):
                    raise SetupFailedError(
                        f"worker {min(waiting)} was not ready after {format_duration(READY_TIMEOUT_S)}"
                    )
                self._kill_stuck(group, waiting)  # what the tests before this one found is kept
        return ready

    def _check_memory(self, group: WorkerGroup, worker: int) -> None:
        """A worker that found no memory before the first request: the run would be another one than was asked for."""
        if group.ran_out_of_memory(worker) and not any(notes.began for notes in self.notes.tests):
            raise SetupFailedError(
                f"worker {worker} of {self._plan.workers} found no memory before the load began; free some, raise the "
                "limit that is set for it (ulimit -v, the control group's memory limit), or use fewer --procs"
            )

    # -- workers that hang ------------------------------------------------------------------------------------

    def _is_stuck(self) -> bool:
        """Whether the phase should have been over for long: planned end or stop, graceful_stop, some seconds."""
        ends_ns = [self.collector.tests[index].planned_end_ns for index in self._phase]
        graceful_stop_s = max(self._plan.cases[index].case.graceful_stop_s for index in self._phase)
        now_ns = time.monotonic_ns()
        last_ns = max((end_ns for end_ns in ends_ns if end_ns is not None), default=0)
        if None in ends_ns or now_ns < last_ns + round(graceful_stop_s * 1e9):
            return False
        if self._overdue_since_ns is None:
            # From when it was first seen: supervisor and workers may have been stopped together (Ctrl-Z).
            self._overdue_since_ns = now_ns
        return now_ns - self._overdue_since_ns > STUCK_AFTER_S * 1e9

    def _kill_stuck(self, group: WorkerGroup, workers: set[int]) -> None:
        for worker in sorted(workers):
            group.kill_worker(worker)
            self._bury(group, worker, "did not end in time and was killed")
        workers.clear()

    def _hear(self, worker: int, message: Mapping[str, Any]) -> bool:
        """Take in what a worker says; True when it is through with the phase."""
        if "failure" in message:
            failure = message["failure"]
            kept = self.notes.tests[failure["case"]].failure_samples.setdefault(failure["kind"], [])
            if len(kept) < SAMPLES_PER_KIND:
                kept.append(failure["sample"])
        elif "crash" in message:
            crash = self._job.masker.text(message["crash"])
            _log.error("worker %d met a bug of perfcore:\n%s", worker, crash)
            last_line = crash.strip().splitlines()[-1]
            self.notes.incidents.append(f"worker {worker} met a bug of perfcore: {last_line}")
        elif "end" in message:
            self.notes.tests[message["end"]].note_end(message)
        elif "done" in message:
            self.notes.samples_left_out[worker] = message["samples_left_out"]
            if message["samples_error"] is not None:
                self.notes.samples_error = message["samples_error"]
            return True
        return False

    def _bury(self, group: WorkerGroup, worker: int, cause: str | None = None) -> None:
        """Keep what a dead worker had measured, and say that it died."""
        memory = self._job.memory
        elapsed_s = (time.monotonic_ns() - self.notes.start.monotonic_ns) / 1e9
        incident = f"worker {worker} {cause or group.cause_of_death(worker)} at {elapsed_s:.1f} s"
        under_way = sum(memory.gauge(worker, index, IN_FLIGHT) for index in range(len(self._plan.cases)))
        if under_way:
            incident += f"; {under_way:,} request{'s' if under_way > 1 else ''} under way"
            incident += f" {'are' if under_way > 1 else 'is'} in no total"
        self.notes.lost_workers += 1
        self.notes.incidents.append(incident)
        self._readers[worker].salvage(partial(self._fold, worker))
        for index in range(len(self._plan.cases)):
            memory.set_gauge(worker, index, USERS, 0)
            memory.set_gauge(worker, index, IN_FLIGHT, 0)
        if self._readers[worker].died_while_folding():
            self.notes.incidents.append(
                f"worker {worker} died while it counted a block of its own: up to 4,096 requests are uncertain"
            )

    # -- limits of the run ------------------------------------------------------------------------------------

    def _check_duration(self) -> None:
        """End the run when its time is over, unless all that runs is at its planned end anyway and only drains."""
        end_ns = self._limits.end_ns
        if end_ns is None or self._is_stopping or time.monotonic_ns() < end_ns:
            return
        planned_ends_ns = [self.collector.tests[index].planned_end_ns for index in self._phase]
        if not self._phase or any(planned is None or planned > end_ns for planned in planned_ends_ns):
            self._abort(self._limits.end_reason)

    def _check_errors(self) -> None:
        if not self._limits.watches_errors or self._is_stopping:
            return
        memory = self._job.memory
        # What workers have counted by themselves, while nobody drained, is added up at the end only.
        stalled = [
            accumulator
            for worker, accumulator in enumerate(memory.accumulators)
            if memory.worker_word(worker, FOLDED_BLOCKS)
        ]
        tests = [collector.tests[index] for collector in (self.collector, *stalled) for index in self._phase]
        requests = sum(test.all_requests for test in tests)
        failed = sum(test.all_failed for test in tests)
        reason = self._limits.too_many_failures(time.monotonic_ns(), requests, failed)
        if reason is not None:
            self._abort(reason)

    # -- ten times a second -----------------------------------------------------------------------------------

    def _tick(self, phase: tuple[int, ...]) -> None:
        self._drain()
        now_ns = time.monotonic_ns()
        for index in phase:
            test, notes = self.collector.tests[index], self.notes.tests[index]
            if now_ns > test.start_ns:
                users = self._job.memory.total_gauge(index, USERS)
                test.timeline.note_users(now_ns - test.start_ns, users)
            in_flight = self._job.memory.total_gauge(index, IN_FLIGHT)
            notes.max_in_flight = max(notes.max_in_flight, in_flight)
            if self._endings.is_over(index, now_ns):
                self._states[index] = "done"
            elif test.planned_end_ns is not None and now_ns > test.planned_end_ns:
                self._states[index] = "draining"
        self.measuring.tick(phase, now_ns)
        now_s = now_ns / 1e9
        if now_s >= self._next_sample_s:
            self._sampler.sample()
            self._lag_growth.note(self._job.memory)
            self._next_sample_s = now_s + SAMPLE_EVERY_S
        if now_s >= self._next_progress_s:
            self._tell_progress()
            self._next_progress_s = now_s + PROGRESS_EVERY_S

    def _drain(self) -> None:
        for worker, reader in enumerate(self._readers):
            reader.drain(partial(self._fold, worker))

    def _fold(self, worker: int, rows: Rows) -> None:
        if self._sample_file is not None:
            self._sample_file.write(rows)
        self.collector.fold(rows)
        self.measuring.fold(rows)
        if len(self._readers) > 1:
            self.spread.fold(worker, rows)

    def _merge_accumulators(self) -> None:
        for worker, accumulator in enumerate(self._job.memory.accumulators):
            if self._job.memory.worker_word(worker, FOLDED_BLOCKS):
                self.notes.incidents += self.measuring.uncut(accumulator)
                self.collector.merge(accumulator)

    # -- progress ---------------------------------------------------------------------------------------------

    def _tell_progress(self) -> None:
        if self._on_progress is None:
            return
        now_ns = time.monotonic_ns()
        elapsed_s = (now_ns - self.notes.start.monotonic_ns) / 1e9
        tests = tuple(self._progress_of(index, now_ns) for index in range(len(self._plan.cases)))
        self._on_progress(RunProgress(elapsed_s, tests, self.notes.aborted_by))

    def _progress_of(self, index: int, now_ns: int) -> TestProgress:
        plan, test, state = self._plan.cases[index], self.collector.tests[index], self._states[index]
        until = self.measuring.until_progress(index, now_ns)
        if state == "done":
            now_ns = test.last_done_ns or test.start_ns
        since_start_ns = max(0, now_ns - test.start_ns) if test.start_ns else 0
        span_ns = since_start_ns if state == "done" else RECENT_NS
        recent = test.timeline.recent(since_start_ns, span_ns)
        return TestProgress(
            key=plan.case.key,
            name=self._job.masker.text(plan.case.name),
            state=state,
            elapsed_s=since_start_ns / 1e9,
            planned_s=plan.duration_s,
            planned_requests=plan.requests,
            requests=test.all_requests,
            failed=test.all_failed,
            rate=recent.rate,
            p50_ms=recent.p50_ms,
            p99_ms=recent.p99_ms,
            users=self._job.memory.total_gauge(index, USERS),
            until=until,
        )
