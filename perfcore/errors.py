"""Exceptions that a user may meet, and the exit codes that pipelines rely on.

Only a PerfcoreError reaches the user as a line of text; any other exception is a bug of perfcore and keeps
its traceback. The numbers are part of the interface (99, 104 and 105 mean in k6 what they mean here).
"""

from collections.abc import Iterable, Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """How the command ends.

    PASSED: nothing to complain of. BUG: perfcore itself failed, with a traceback. WRONG_COMMAND_LINE, WRONG_SUITE:
    nothing was sent. REGRESSION: worse than a baseline. NOT_TRUSTWORTHY: the generator was at its limit (with
    --strict). INCOMPLETE: a worker was lost. THRESHOLD_BROKEN: also a test without any success. INTERRUPTED: by a
    signal; the result is saved at the first. NOT_SAVED: the result could not be written. SETUP_FAILED: the load
    never started. ABORTED: ended by a limit or an abort threshold.
    """

    PASSED = 0
    BUG = 1
    WRONG_COMMAND_LINE = 2
    REGRESSION = 95
    NOT_TRUSTWORTHY = 96
    INCOMPLETE = 97
    THRESHOLD_BROKEN = 99
    WRONG_SUITE = 104
    INTERRUPTED = 105
    NOT_SAVED = 106
    SETUP_FAILED = 107
    ABORTED = 108


# Of several reasons to end with an error, the first one here is the exit code.
PRECEDENCE: Sequence[ExitCode] = (
    ExitCode.INTERRUPTED,
    ExitCode.SETUP_FAILED,
    ExitCode.ABORTED,
    ExitCode.INCOMPLETE,
    ExitCode.NOT_SAVED,
    ExitCode.NOT_TRUSTWORTHY,
    ExitCode.THRESHOLD_BROKEN,
    ExitCode.REGRESSION,
)


def gravest(codes: Iterable[ExitCode]) -> ExitCode:
    """The exit code of a run that has all of these reasons; PASSED when it has none.

    A code that no run ends with (a bug, a wrong suite) counts when there is none of the others.
    """
    present = set(codes)
    unranked = sorted(present - {*PRECEDENCE, ExitCode.PASSED})
    return next((code for code in (*PRECEDENCE, *unranked) if code in present), ExitCode.PASSED)


class PerfcoreError(Exception):
    """Something the user can put right. `str()` is what they are told; `exit_code` is how the command ends."""

    exit_code = ExitCode.BUG


class UsageError(PerfcoreError, ValueError):
    """A wrong command line or a wrong argument to the Python interface."""

    exit_code = ExitCode.WRONG_COMMAND_LINE


class SuiteError(PerfcoreError, ValueError):
    """Everything that is wrong with a suite. `mistakes` holds one line each, all of them at once."""

    exit_code = ExitCode.WRONG_SUITE

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


class NotSavedError(PerfcoreError):
    """The result could not be written; the message says where, and what was lost.

    `result` is the SuiteResult of a run that took place, None when the place was refused before it.
    """

    exit_code = ExitCode.NOT_SAVED
    result: object = None


class SetupFailedError(PerfcoreError):
    """The load never started: the embedded target or a worker could not be brought up."""

    exit_code = ExitCode.SETUP_FAILED


class RunLostError(PerfcoreError):
    """The process that supervised the run died, and what was measured with it."""

    exit_code = ExitCode.INCOMPLETE
