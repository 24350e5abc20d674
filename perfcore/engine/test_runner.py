"""TestRunner: a suite in, a result out.

    from perfcore import TestRunner, TestCase

    result = TestRunner().run(TestCase(name="Profile", endpoint="https://api.example.com/profile"))

It prints nothing. In a process with one thread the workers are forked from it (`suite_run`); where there are more (a
notebook, a web server, pytest-xdist) a fresh interpreter supervises the run (`fresh_interpreter`).
"""

import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from perfcore.engine.engine_choice import EngineWish, check_engine
from perfcore.engine.libcurl_features import lacks
from perfcore.engine.run_document import started_at
from perfcore.engine.runner_arguments import check_run_arguments, check_runner_arguments
from perfcore.engine.stop_signals import StopSignals
from perfcore.engine.suite_run import RunOrder, RunOutcome, SuiteRun, process_has_one_thread
from perfcore.engine.supervisor import now
from perfcore.errors import NotSavedError, UsageError
from perfcore.metrics.environment import usable_cores
from perfcore.metrics.progress import RunProgress
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.results_logger import ResultsLogger
from perfcore.report.unsaved_run import SamplePaths
from perfcore.suite.config_loader import load_suite
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

if TYPE_CHECKING:
    from perfcore.engine.fresh_interpreter import FreshInterpreter

DEFAULT_SAMPLES_LIMIT = 2 * 1024**3


class TestRunner:
    """Runs suites. Raises SuiteError for a wrong suite, UsageError for wrong arguments.

    `procs` is the number of worker processes, "auto" one for each usable core. `results_dir` None saves nothing.
    `engine` is "auto" (the wire path where it can serve a test, else libcurl transfers), "wire" or "transfer".
    `spin` waits awake for the last millisecond before an iteration of a rate is due. `strict`: a result
    that is not to be trusted has the verdict "invalid" and exit code 96. `samples` keeps one row a request,
    `samples_limit` bytes at most. `on_progress` is called four times a second in mid-run, in the thread that called
    `run`. `own_process` says that the process belongs to perfcore, which then
    gives its workers precedence. Several runners may run at once, in a thread each; one runner runs once at a time.
    """

    __test__ = False

    def __init__(
        self,
        *,
        procs: int | Literal["auto"] = "auto",
        results_dir: str | Path | None = "results",
        seed: int | None = None,
        engine: EngineWish = "auto",
        spin: bool = True,
        strict: bool = False,
        samples: bool = False,
        samples_limit: int = DEFAULT_SAMPLES_LIMIT,
        on_progress: Callable[[RunProgress], None] | None = None,
        command_line: Sequence[str] = (),
        own_process: bool = False,
    ) -> None:
        check_runner_arguments(
            procs=procs,
            results_dir=results_dir,
            seed=seed,
            engine=engine,
            spin=spin,
            strict=strict,
            samples=samples,
            samples_limit=samples_limit,
            on_progress=on_progress,
            command_line=command_line,
            own_process=own_process,
        )
        self.workers = usable_cores() if procs == "auto" else procs
        self._logger = None if results_dir is None else ResultsLogger(Path(results_dir))
        self._seed = secrets.randbits(32) if seed is None else seed
        self._engine = engine
        self._spins = spin
        self._is_strict = strict
        self._keeps_samples = samples
        self._samples_limit = samples_limit
        self.on_progress = on_progress
        self._command_line = command_line
        self._own_process = own_process
        self._active: SuiteRun | FreshInterpreter | None = None
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
            check_run_arguments(what, env, variables)
            suite = as_suite(what, env, variables or {})
            check_engine(suite, self._engine)
            with _first_interrupt_stops(self):
                return self._run(suite)
        finally:
            self._one_at_a_time.release()

    def _run(self, suite: TestSuite) -> SuiteResult:
        start = now()
        run_dir = None if self._logger is None else self._logger.open_run(started_at(start))
        try:
            order = RunOrder(
                suite=suite,
                workers=self.workers,
                seed=self._seed,
                engine=self._engine,
                spins=self._spins,
                strict=self._is_strict,
                start=start,
                run_dir=run_dir,
                samples=self._sample_paths(),
                samples_limit_bytes=self._samples_limit,
                command_line=self._command_line,
                own_process=self._own_process,
            )
            self._active = active = self._active_run(order)
            if self._stop_reason is not None:
                active.request_stop(self._stop_reason)
            return self._save(active.run())
        finally:
            self._stop_reason = self._active = None
            if self._logger is not None:
                self._logger.discard()

    def _active_run(self, order: RunOrder) -> "SuiteRun | FreshInterpreter":
        if process_has_one_thread():
            return SuiteRun(order, self.on_progress)
        # The command never comes here: it is spared pickle, subprocess and a dozen classes at every start.
        from perfcore.engine.fresh_interpreter import FreshInterpreter

        return FreshInterpreter(order, self.on_progress)

    def _sample_paths(self) -> SamplePaths | None:
        if self._logger is None or not self._keeps_samples:
            return None
        return self._logger.sample_paths(self.workers)

    def request_stop(self, reason: str) -> None:
        """End the run early: start nothing more, finish what is under way, save. Safe in a signal handler.

        Between two runs it ends the next one at its start.
        """
        self._stop_reason = reason
        active = self._active  # another thread may end the run meanwhile
        if active is not None:
            active.request_stop(reason)

    @property
    def warnings(self) -> list[str]:
        """What went wrong beside the result when it was saved, a line each."""
        return [] if self._logger is None else self._logger.warnings

    def abandon(self) -> None:
        """Kill the workers and throw away what was measured; the process is to end then."""
        active = self._active
        if active is not None:
            active.abandon()
        if self._logger is not None:
            self._logger.discard()

    def _save(self, outcome: RunOutcome) -> SuiteResult:
        result = SuiteResult(outcome.document)
        if self._logger is None:
            return result
        try:
            result.results_dir = self._logger.save(result, {"suite.yaml": outcome.effective_suite})
            if outcome.not_saved is not None:
                raise NotSavedError(f"{result.results_dir}: {outcome.not_saved}; the result itself was saved")
        except NotSavedError as error:
            error.result = result
            raise
        return result


@contextmanager
def _first_interrupt_stops(runner: TestRunner) -> Iterator[None]:
    """Where Ctrl-C would raise KeyboardInterrupt, the first one ends the run before that, the second does not."""
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    interrupts, signals = 0, StopSignals()

    def on_interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        turn = signals.note()
        if turn == "second":
            raise KeyboardInterrupt
        if turn == "first":
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
    if isinstance(what, str | Path):
        return load_suite(what, env=env, variables=variables, lacks=lacks)
    suite = TestSuite.of(what) if isinstance(what, TestCase) else what
    suite.check(lacks)
    return suite
