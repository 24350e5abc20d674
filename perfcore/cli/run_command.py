"""`perfcore SUITE`: load it, run it, show and keep the result."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from perfcore.cli.messages import output, tell, warn
from perfcore.cli.signal_handlers import handled
from perfcore.engine.libcurl_features import lacks
from perfcore.engine.plan import plan_run
from perfcore.engine.stop_signals import StopSignals
from perfcore.engine.test_runner import DEFAULT_SAMPLES_LIMIT, TestRunner
from perfcore.errors import ExitCode, NotSavedError, gravest
from perfcore.metrics.progress import RunProgress
from perfcore.metrics.test_result import SuiteResult
from perfcore.report.plan_report import write_plan
from perfcore.report.progress import ProgressView, open_progress
from perfcore.report.reporters import REPORTERS
from perfcore.suite.config_loader import load_suite
from perfcore.suite.secrets import Masker
from perfcore.suite.test_suite import TestSuite

DEFAULT_RESULTS_DIR = "results"


def run(options: argparse.Namespace) -> int:
    suite = load_suite(
        options.suite, env=options.env, variables=dict(options.var), tags=dict(options.tag), lacks=lacks
    )
    if options.only:
        suite = suite.select(options.only)
    for warning in suite.warnings():
        warn(f"{options.suite}: {warning}")
    color = not options.no_color and not os.environ.get("NO_COLOR")
    view = open_progress(sys.stderr, quiet=options.quiet, color=None if color else False)
    runner = TestRunner(
        procs=options.procs or "auto",
        results_dir=options.results_dir or DEFAULT_RESULTS_DIR,
        seed=options.seed,
        engine=options.engine or "auto",
        spin=not options.no_spin,
        strict=options.strict,
        samples=options.samples,
        samples_limit=DEFAULT_SAMPLES_LIMIT if options.samples_limit is None else options.samples_limit,
        command_line=sys.argv,
        own_process=True,
    )
    if options.dry_run:
        with output() as stdout:
            write_plan(
                plan_run(suite, runner.workers, options.engine or "auto").document(
                    suite, Masker.for_suite(suite)
                ),
                stdout,
            )
        return ExitCode.PASSED
    return _run_and_show(suite, runner, view, options, color=color)


def _run_and_show(
    suite: TestSuite, runner: TestRunner, view: ProgressView, options: argparse.Namespace, *, color: bool
) -> int:
    failures: list[NotSavedError] = []
    with _signals(runner, view):
        try:
            result = runner.run(suite)
        except NotSavedError as error:
            if not isinstance(error.result, SuiteResult):
                raise
            result = error.result
            failures.append(error)
        finally:
            view.close()
    try:
        _show(result, options, color=color)
    except NotSavedError as error:
        failures.append(error)
    for warning in runner.warnings:
        view.message(warning)
    for failure in failures:
        tell(failure)
    return gravest([ExitCode(result.document["exit_code"]), *(failure.exit_code for failure in failures)])


def _show(result: SuiteResult, options: argparse.Namespace, *, color: bool) -> None:
    if options.json:
        with output() as stdout:
            REPORTERS["json"](result, stdout)
    elif not options.quiet:
        from perfcore.report.summary import write_summary  # with rich: not for those who want JSON

        with output() as stdout:
            write_summary(result, stdout, color=color and stdout.isatty())


@contextmanager
def _signals(runner: TestRunner, view: ProgressView) -> Iterator[None]:
    """The first signal drains and saves, the second leaves at once; an echo of the first does nothing."""
    signals = StopSignals()
    said: list[str] = []
    aborted: list[str] = []

    def on_signal(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        turn = signals.note()
        if turn == "echo":
            return
        if turn == "second":
            with suppress(OSError):
                os.write(2, b"perfcore: left at once, nothing was saved\n")
            runner.abandon()
            os._exit(ExitCode.INTERRUPTED)
        said.append(
            f"{name}: finishing what is under way, then the result is saved; once more to leave at once"
        )
        runner.request_stop(name)

    def on_progress(progress: RunProgress) -> None:
        # Not from the handler: it may have interrupted the view in the middle of a line.
        if said:
            view.message(said.pop())
        if progress.aborted_by and not aborted:
            aborted.append(progress.aborted_by)
            view.message(f"{progress.aborted_by}; finishing what is under way, then the result is saved")
        view.update(progress)

    runner.on_progress = on_progress
    with handled(on_signal, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield
