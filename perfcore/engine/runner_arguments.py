"""What a caller gives to TestRunner, checked before anything is made of it: one UsageError for each slip."""

from pathlib import Path

from perfcore.engine.engine_choice import ENGINE_WISHES
from perfcore.errors import UsageError
from perfcore.suite.load_arguments import check_arguments
from perfcore.suite.mistakes import shown
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

# More processes are a slip, and would starve each other of memory long before they are started.
MOST_PROCS = 1024
# The result holds the seed as a JSON number of 64 bits.
HIGHEST_SEED = 2**63 - 1


def check_runner_arguments(
    *,
    procs: object,
    results_dir: object,
    seed: object,
    engine: object,
    spin: object,
    strict: object,
    samples: object,
    samples_limit: object,
    on_progress: object,
    command_line: object,
    own_process: object,
) -> None:
    """Raises UsageError for arguments of TestRunner that are of no use."""
    if procs != "auto" and not _is_number(procs, 1, MOST_PROCS):
        raise UsageError(
            f"procs: {shown(procs)} is not a number of processes; give 1 to {MOST_PROCS:,}, or 'auto'"
        )
    if results_dir is not None and (not isinstance(results_dir, str | Path) or not str(results_dir)):
        raise UsageError(f"results_dir: {shown(results_dir)} is not the path of a directory")
    if results_dir is not None and "\0" in str(results_dir):
        raise UsageError(f"results_dir: {shown(str(results_dir))} is not the path of a directory")
    if seed is not None and not _is_number(seed, 0, HIGHEST_SEED):
        raise UsageError(f"seed: {shown(seed)} is not a seed; give a whole number from 0 to {HIGHEST_SEED}")
    if engine not in ENGINE_WISHES:
        raise UsageError(f"engine: {shown(engine)} is none; give auto, wire or transfer")
    flags = (("spin", spin), ("strict", strict), ("samples", samples), ("own_process", own_process))
    for name, flag in flags:
        if not isinstance(flag, bool):
            raise UsageError(f"{name}: {shown(flag)} is neither True nor False")
    if not _is_number(samples_limit, 0, HIGHEST_SEED):
        raise UsageError(f"samples_limit: {shown(samples_limit)} is not a number of bytes")
    if samples and results_dir is None:
        raise UsageError("samples need a results_dir to be kept in")
    if on_progress is not None and not callable(on_progress):
        raise UsageError(
            f"on_progress: {shown(on_progress)} cannot be called; give a function of one argument"
        )
    is_words = isinstance(command_line, list | tuple) and all(isinstance(word, str) for word in command_line)
    if not is_words:
        raise UsageError(f"command_line: {shown(command_line)} is not a list of words")


def check_run_arguments(what: object, env: object, variables: object) -> None:
    """Raises UsageError for arguments of `TestRunner.run` that are of no use."""
    if isinstance(what, str | Path):
        check_arguments(what, env, variables)
        return
    if not isinstance(what, TestCase | TestSuite):
        raise UsageError(
            f"{shown(what)} cannot be run; give a TestCase, a TestSuite or the path of a suite file"
        )
    kind = type(what).__name__
    if env is not None:
        raise UsageError(f"env: only a suite file has environments, and this is a {kind}")
    if variables:
        raise UsageError(f"variables: only a suite file takes them here; a {kind} is run as it was made")


def _is_number(value: object, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
