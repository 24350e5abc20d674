"""TestRunner: a suite in, a result out.

    from perfcore import TestRunner, TestCase

    result = TestRunner().run(TestCase(name="Profile", endpoint="https://api.example.com/profile"))

It prints nothing. Workers are forked from the calling process, which must have one thread at that moment.
"""

import resource
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from perfcore.engine.curl_handle import versions
from perfcore.engine.embedded_target import EmbeddedTarget
from perfcore.engine.http_client import USERS_PER_SHARD, HttpClient
from perfcore.engine.plan import RunPlan, most_users_of_a_worker, plan_run
from perfcore.engine.run_document import Instant, RunNotes, run_document, started_at
from perfcore.engine.sample_keeping import SampleKeeping
from perfcore.engine.scenario import Scenario
from perfcore.engine.supervisor import Supervisor, now
from perfcore.engine.worker import SharedBudget, WorkerJob
from perfcore.errors import NotSavedError, SetupFailedError, UsageError
from perfcore.metrics.environment import EnvironmentSampler, usable_cores
from perfcore.metrics.progress import RunProgress
from perfcore.metrics.run_memory import RunMemory
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.results_logger import ResultsLogger
from perfcore.suite.config_loader import load_suite
from perfcore.suite.effective_suite import effective_suite
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import EMBEDDED, TestSuite

DEFAULT_SAMPLES_LIMIT = 2 * 1024**3
# What a worker has open besides its users' connections: streams, epoll, budgets, its channel, what it inherited.
_OWN_DESCRIPTORS = 32
_DESCRIPTORS_A_SHARD = 2


class TestRunner:
    """Runs suites. Raises SuiteError for a wrong suite, UsageError for wrong arguments.

    `procs` is the number of worker processes, "auto" one for each usable core. `results_dir` None saves nothing.
    `samples` keeps one row a request, `samples_limit` bytes at most. `on_progress` is called four times a second
    in mid-run. `own_process` says that the process belongs to perfcore, which then gives its workers precedence.
    """

    __test__ = False

    def __init__(
        self,
        *,
        procs: int | Literal["auto"] = "auto",
        results_dir: str | Path | None = "results",
        seed: int | None = None,
        samples: bool = False,
        samples_limit: int = DEFAULT_SAMPLES_LIMIT,
        on_progress: Callable[[RunProgress], None] | None = None,
        command_line: Sequence[str] = (),
        own_process: bool = False,
    ) -> None:
        if procs != "auto" and (isinstance(procs, bool) or not isinstance(procs, int) or procs < 1):
            raise UsageError(f"procs: {procs!r} is not a number of processes; give 1 or more, or 'auto'")
        if samples and results_dir is None:
            raise UsageError("samples need a results_dir to be kept in")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
            raise UsageError(f"seed: {seed!r} is not a seed; give a whole number from 0")
        if isinstance(samples_limit, bool) or not isinstance(samples_limit, int) or samples_limit < 0:
            raise UsageError(f"samples_limit: {samples_limit!r} is not a number of bytes")
        if results_dir is not None and not isinstance(results_dir, str | Path):
            raise UsageError(f"results_dir: {results_dir!r} is not the path of a directory")
        self.workers = usable_cores() if procs == "auto" else procs
        self._logger = None if results_dir is None else ResultsLogger(Path(results_dir))
        self._seed = secrets.randbits(32) if seed is None else seed
        self._keeps_samples = samples
        self._samples_limit = samples_limit
        self._samples: SampleKeeping | None = None
        self.on_progress = on_progress
        self._command_line = command_line
        self._own_process = own_process
        self._supervisor: Supervisor | None = None
        self._stop_reason: str | None = None
        self._one_at_a_time = threading.Lock()

    def run(
        self,
        what: TestCase | TestSuite | str | Path,
        *,
        env: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> SuiteResult:
        """Run one test, a suite, or the suite in a file; returns when the result is saved.

        NotSavedError carries the result as its `result` when only the saving failed. Ctrl-C in the main thread
        ends the run as `request_stop` does, and KeyboardInterrupt is raised when the result is saved; once more
        raises it at once. A handler of the caller's own is left alone.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            raise UsageError("this TestRunner is running; give a second thread a TestRunner of its own")
        try:
            suite = as_suite(what, env, variables or {})
            with _first_interrupt_stops(self):
                return self._run(suite)
        finally:
            self._one_at_a_time.release()

    def _run(self, suite: TestSuite) -> SuiteResult:
        target = None
        start = now()
        if self._logger is not None:
            run_dir = self._logger.open_run(started_at(start))
            self._samples = SampleKeeping(run_dir, self._samples_limit) if self._keeps_samples else None
        try:
            if suite.base_url == EMBEDDED:
                target = EmbeddedTarget()
                suite = suite.with_base_url(target.url)
            return self._run_suite(suite, start)
        finally:
            self._stop_reason = self._supervisor = None
            if target is not None:
                target.stop()
            if self._samples is not None:
                self._samples.close()
            if self._logger is not None:
                self._logger.discard()

    def request_stop(self, reason: str) -> None:
        """End the run early: start nothing more, finish what is under way, save. Safe in a signal handler."""
        self._stop_reason = reason
        if self._supervisor is not None:
            self._supervisor.request_stop(reason)

    @property
    def warnings(self) -> list[str]:
        """What went wrong beside the result when it was saved, a line each."""
        return [] if self._logger is None else self._logger.warnings

    def abandon(self) -> None:
        """Kill the workers and throw away what was measured."""
        if self._supervisor is not None:
            self._supervisor.kill()
        if self._logger is not None:
            self._logger.discard()

    def _run_suite(self, suite: TestSuite, start: Instant) -> SuiteResult:
        plan = plan_run(suite, self.workers)
        check_descriptors(plan)
        masker = Masker.for_suite(suite)
        job = self._job(suite, plan, masker)
        sampler = EnvironmentSampler(versions())
        supervisor = self._supervisor = Supervisor(
            job,
            sampler,
            on_progress=self.on_progress,
            yields_to_workers=self._own_process,
            sample_file=self._samples.supervisor_file if self._samples else None,
            start=start,
        )
        if self._stop_reason is not None:
            supervisor.request_stop(self._stop_reason)
        try:
            supervisor.run()
        finally:
            for budget in job.budgets.values():
                budget.close()
        not_saved = self._finish_samples(supervisor)
        document = run_document(
            suite,
            plan.cases,
            supervisor.collector.tests,
            supervisor.notes,
            seed=self._seed,
            command_line=self._command_line,
            environment=sampler.document(),
            engine=HttpClient.name,
            masker=masker,
        )
        return self._save(SuiteResult(document), suite, masker, not_saved)

    def _job(self, suite: TestSuite, plan: RunPlan, masker: Masker) -> WorkerJob:
        """What the workers get, made before the fork."""
        return WorkerJob(
            plan=plan,
            scenarios=[Scenario(suite, case, index, self._seed) for index, case in enumerate(suite.tests)],
            budgets={
                item.index: SharedBudget(item.case.total_iterations)
                for item in plan.cases
                if item.case.total_iterations is not None
            },
            memory=RunMemory(plan.workers, len(plan.cases)),
            masker=masker,
            seed=self._seed,
            sample_path=self._samples.worker_path if self._samples else None,
            samples_limit_bytes=self._samples_limit,
        )

    def _finish_samples(self, supervisor: Supervisor) -> str | None:
        """Put samples.npy together; returns what is to be said when the disk refused a part of it."""
        if self._samples is None:
            return None
        notes: RunNotes = supervisor.notes
        joined = self._samples.finish()
        left_out = joined.left_out_rows + sum(notes.samples_left_out.values())
        if left_out:
            notes.incidents.append(f"samples.npy lacks {left_out:,} requests: --samples-limit was reached")
        notes.samples_error = notes.samples_error or joined.error
        if notes.samples_error is None:
            return None
        counted = sum(
            test.counter("requests") + test.counter("interrupted") for test in supervisor.collector.tests
        )
        lost = max(counted - joined.rows - left_out, 0)
        not_saved = f"samples.npy lacks {lost:,} requests: {notes.samples_error}"
        notes.incidents.append(not_saved)
        return not_saved

    def _save(
        self, result: SuiteResult, suite: TestSuite, masker: Masker, not_saved: str | None
    ) -> SuiteResult:
        if self._logger is None:
            return result
        try:
            result.results_dir = self._logger.save(result, {"suite.yaml": effective_suite(suite, masker)})
            if not_saved is not None:
                raise NotSavedError(f"{result.results_dir}: {not_saved}; the result itself was saved")
        except NotSavedError as error:
            error.result = result
            raise
        return result


def check_descriptors(plan: RunPlan) -> None:
    """Raise SetupFailedError when a worker could not open a connection for each of its users."""
    users = most_users_of_a_worker(plan)
    shards = -(-users // USERS_PER_SHARD)
    needed = users + _DESCRIPTORS_A_SHARD * shards + _OWN_DESCRIPTORS
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and needed > limit:
        raise SetupFailedError(
            f"a worker with {users:,} users needs {needed:,} file descriptors and the hard limit is {limit:,}: "
            f"raise it (ulimit -n {needed}), or ask for fewer users"
        )


@contextmanager
def _first_interrupt_stops(runner: TestRunner) -> Iterator[None]:
    """Where Ctrl-C would raise KeyboardInterrupt, the first one ends the run before that, the second does not."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    interrupts = 0

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            raise KeyboardInterrupt
        runner.request_stop("SIGINT")

    signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    except NotSavedError as error:
        if interrupts:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupts:
        raise KeyboardInterrupt


def as_suite(
    what: TestCase | TestSuite | str | Path, env: str | None, variables: Mapping[str, str]
) -> TestSuite:
    """The checked suite that any argument of `TestRunner.run` stands for."""
    if isinstance(what, TestCase):
        suite = TestSuite.of(what)
    elif isinstance(what, TestSuite):
        suite = what
    elif isinstance(what, str | Path):
        return load_suite(what, env=env, variables=variables)
    else:
        raise UsageError(f"{what!r} cannot be run; give a TestCase, a TestSuite or the path of a suite file")
    suite.check()
    return suite
