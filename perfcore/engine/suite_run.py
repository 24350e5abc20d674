"""One run of a checked suite by the process that it is called in: an order in, an outcome out.

The process must have one thread: workers are forked from it. TestRunner calls it in its caller's process or has a
fresh interpreter do so; order and outcome are what travels between the two then.
"""

import os
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perfcore.engine.core_split import split_cores
from perfcore.engine.curl_handle import versions
from perfcore.engine.descriptors import check_descriptors
from perfcore.engine.embedded_target import EmbeddedTarget
from perfcore.engine.engine_choice import EngineWish
from perfcore.engine.plan import RunPlan, most_users_of_a_worker, plan_run
from perfcore.engine.rate_limit import SharedSlots
from perfcore.engine.run_document import Instant, RunNotes, run_document
from perfcore.engine.run_validity import run_validity
from perfcore.engine.sample_keeping import SampleKeeping
from perfcore.engine.scenario import Scenario
from perfcore.engine.supervisor import Supervisor
from perfcore.engine.tool_errors import note_tool_errors
from perfcore.engine.worker import SharedBudget, WorkerJob
from perfcore.metrics.environment import EnvironmentSampler
from perfcore.metrics.progress import RunProgress
from perfcore.metrics.run_memory import RunMemory
from perfcore.report.unsaved_run import SamplePaths
from perfcore.suite.effective_suite import effective_suite
from perfcore.suite.secrets import Masker
from perfcore.suite.test_suite import EMBEDDED, TestSuite


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What is to be run, and how."""

    suite: TestSuite
    workers: int
    seed: int
    start: Instant
    run_dir: Path | None = None
    """Where the run is kept, an absolute path; None keeps nothing."""
    samples: SamplePaths | None = None
    """Where rows are kept; None keeps none."""
    samples_limit_bytes: int = 0
    command_line: Sequence[str] = ()
    engine: EngineWish = "auto"
    spins: bool = True
    strict: bool = False
    """Whether a result that is not to be trusted is a failure."""
    own_process: bool = False
    """Whether the process belongs to perfcore, which may then give way to its workers."""
    worker_cores: frozenset[int] | None = None
    """Where the workers are to stay; None: wherever the kernel puts them."""
    is_calibrating: bool = False
    """Whether the run is part of a calibration, which no older one has a say in."""


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What came of it: the result's document, and what is to be saved beside it."""

    document: dict[str, object]
    effective_suite: str
    """Empty when the run is not kept."""
    not_saved: str | None = None
    """What is to be said when the disk refused a part of the samples."""


def process_has_one_thread() -> bool:
    """Whether the process may fork: threads that Python does not know of (BLAS, gRPC) count as well."""
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        return threading.active_count() == 1


class SuiteRun:
    """Runs its order once. `request_stop` may be called at any time, from a signal handler too."""

    def __init__(self, order: RunOrder, on_progress: Callable[[RunProgress], None] | None) -> None:
        self._order = order
        self._on_progress = on_progress
        self._samples: SampleKeeping | None = None
        self._supervisor: Supervisor | None = None
        self._stop_reason: str | None = None
        self._run_id = uuid.uuid4()

    def run(self) -> RunOutcome:
        order, target, suite = self._order, None, self._order.suite
        cores = order.worker_cores
        if order.samples is not None:
            self._samples = SampleKeeping(order.samples, order.samples_limit_bytes)
        try:
            if suite.base_url == EMBEDDED:
                split = split_cores(order.workers)
                target, cores = EmbeddedTarget(split.target), split.workers
                suite = suite.with_base_url(target.url)
            return self._run(suite, cores)
        finally:
            self._supervisor = None
            if target is not None:
                target.stop()
            if self._samples is not None:
                self._samples.close()

    def request_stop(self, reason: str) -> None:
        """Start nothing more, finish what is under way."""
        self._stop_reason = reason
        if self._supervisor is not None:
            self._supervisor.request_stop(reason)

    def abandon(self) -> None:
        """Kill the workers; the process is to end then."""
        if self._supervisor is not None:
            self._supervisor.kill()

    def _run(self, suite: TestSuite, cores: frozenset[int] | None) -> RunOutcome:
        order = self._order
        plan = plan_run(suite, order.workers, order.engine)
        check_descriptors(
            most_users_of_a_worker(plan),
            plan.workers,
            follow_redirects=any(item.case.follow_redirects for item in plan.cases),
        )
        masker = Masker.for_suite(suite)
        job = self._job(suite, plan, masker, cores)
        sampler = EnvironmentSampler(versions())
        supervisor = self._supervisor = Supervisor(
            job,
            sampler,
            on_progress=self._on_progress,
            owns_process=order.own_process,
            sample_file=self._samples.supervisor_file if self._samples else None,
            start=order.start,
            limits=suite.limits,
        )
        if self._stop_reason is not None:
            supervisor.request_stop(self._stop_reason)
        try:
            supervisor.run()
        finally:
            for budget in job.budgets.values():
                budget.close()
            if job.rate_limit is not None:
                job.rate_limit.close()
        not_saved = self._finish_samples(supervisor)
        notes = supervisor.notes
        environment = sampler.document()
        if not order.is_calibrating:
            note_tool_errors(suite, plan.cases, supervisor.collector.tests, notes, environment)
        notes.validity = run_validity(
            suite,
            plan.cases,
            supervisor.collector.tests,
            notes,
            sampler.host_signals(),
            job.memory,
            supervisor.spread,
            masker,
        )
        document = run_document(
            suite,
            plan.cases,
            supervisor.collector.tests,
            notes,
            strict=order.strict,
            spins=order.spins,
            run_id=self._run_id,
            seed=order.seed,
            command_line=order.command_line,
            environment=environment,
            masker=masker,
        )
        kept_suite = "" if order.run_dir is None else effective_suite(suite, masker)
        return RunOutcome(document, kept_suite, not_saved)

    def _job(
        self, suite: TestSuite, plan: RunPlan, masker: Masker, cores: frozenset[int] | None
    ) -> WorkerJob:
        """What the workers get, made before the fork."""
        seed = self._order.seed
        memory = RunMemory(plan.workers, len(plan.cases))
        rate = suite.limits.max_rate_per_s
        return WorkerJob(
            plan=plan,
            scenarios=[
                Scenario(suite, case, index, seed, self._run_id) for index, case in enumerate(suite.tests)
            ],
            budgets={
                item.index: SharedBudget(item.case.total_iterations)
                for item in plan.cases
                if item.case.total_iterations is not None
            },
            memory=memory,
            rate_limit=None if rate is None else SharedSlots(rate, memory.rate_words),
            masker=masker,
            seed=seed,
            spins=self._order.spins,
            cores=cores,
            sample_paths=self._samples.worker_paths if self._samples else (),
            samples_limit_bytes=self._order.samples_limit_bytes,
        )

    def _finish_samples(self, supervisor: Supervisor) -> str | None:
        """Put samples.npy together; returns what is to be said when the disk refused a part of it."""
        if self._samples is None:
            return None
        notes: RunNotes = supervisor.notes
        tests = supervisor.collector.tests
        joined = self._samples.finish([test.measured_from_ns for test in tests])
        left_out = joined.left_out_rows + sum(notes.samples_left_out.values())
        if left_out:
            notes.incidents.append(f"samples.npy lacks {left_out:,} requests: --samples-limit was reached")
        notes.samples_error = notes.samples_error or joined.error
        if notes.samples_error is None:
            return None
        counted = sum(test.all_requests + test.counter("interrupted") for test in tests)
        lost = max(counted - joined.rows - left_out, 0)
        not_saved = f"samples.npy lacks {lost:,} requests: {notes.samples_error}"
        notes.incidents.append(not_saved)
        return not_saved
