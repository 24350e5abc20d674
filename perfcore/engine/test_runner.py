"""TestRunner: a suite in, a result out.

    from perfcore import TestRunner, TestCase

    result = TestRunner().run(TestCase(name="Profile", endpoint="https://api.example.com/profile"))

It prints nothing. Workers are forked from the calling process, which must have one thread at that moment.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from perfcore.engine.curl_handle import versions
from perfcore.engine.embedded_target import EmbeddedTarget
from perfcore.engine.http_client import HttpClient
from perfcore.engine.plan import plan_run
from perfcore.engine.run_document import run_document, started_at
from perfcore.engine.sample_keeping import SampleKeeping
from perfcore.engine.scenario import Scenario
from perfcore.engine.supervisor import Supervisor, now
from perfcore.engine.worker import SharedBudget, WorkerJob
from perfcore.errors import NotSavedError, UsageError
from perfcore.metrics.environment import EnvironmentSampler, usable_cores
from perfcore.metrics.progress import RunProgress
from perfcore.metrics.run_memory import RunMemory
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.results_logger import ResultsLogger
from perfcore.suite.config_loader import load_suite
from perfcore.suite.effective_suite import effective_suite
from perfcore.suite.secrets import Masker
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

EMBEDDED = "embedded"
DEFAULT_SAMPLES_LIMIT = 2 * 1024**3


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

    def run(
        self,
        what: TestCase | TestSuite | str | Path,
        *,
        env: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> SuiteResult:
        """Run one test, a suite, or the suite in a file; returns when the result is saved.

        NotSavedError carries the result as its `result` when only the saving failed.
        """
        suite = as_suite(what, env, variables or {})
        target = None
        if self._logger is not None:
            run_dir = self._logger.open_run(started_at(now()))
            self._samples = SampleKeeping(run_dir, self._samples_limit) if self._keeps_samples else None
        try:
            if suite.base_url == EMBEDDED:
                target = EmbeddedTarget()
                suite = suite.with_base_url(target.url)
            return self._run_suite(suite)
        finally:
            if target is not None:
                target.stop()
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

    def _run_suite(self, suite: TestSuite) -> SuiteResult:
        plan = plan_run(suite, self.workers)
        masker = Masker.for_suite(suite)
        job = WorkerJob(
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
        sampler = EnvironmentSampler(versions())
        supervisor = self._supervisor = Supervisor(
            job,
            sampler,
            on_progress=self.on_progress,
            yields_to_workers=self._own_process,
            sample_file=self._samples.supervisor_file if self._samples else None,
        )
        if self._stop_reason is not None:
            supervisor.request_stop(self._stop_reason)
        try:
            supervisor.run()
        finally:
            for budget in job.budgets.values():
                budget.close()
        if self._samples is not None:
            left_out = self._samples.finish() + sum(supervisor.notes.samples_left_out.values())
            if left_out:
                supervisor.notes.incidents.append(
                    f"samples.npy lacks {left_out:,} requests: --samples-limit was reached"
                )
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
        return self._save(SuiteResult(document), suite, masker)

    def _save(self, result: SuiteResult, suite: TestSuite, masker: Masker) -> SuiteResult:
        if self._logger is None:
            return result
        try:
            result.results_dir = self._logger.save(result, {"suite.yaml": effective_suite(suite, masker)})
        except NotSavedError as error:
            error.result = result
            raise
        return result


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
