"""`main`: arguments in, exit code out. Only a PerfcoreError becomes a line of text; a bug keeps its traceback."""

import errno
import os
from importlib import import_module

from perfcore.cli.messages import OUT_OF_MEMORY, tell, warn
from perfcore.cli.parser import parse_command_line
from perfcore.errors import ExitCode, PerfcoreError


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        return _run(arguments)
    except PerfcoreError as error:
        tell(error)
        return int(error.exit_code)
    except KeyboardInterrupt:
        # Before the load began or after its result was saved; in between a signal asks for a drain.
        warn("interrupted")
        return ExitCode.INTERRUPTED
    except (MemoryError, OSError) as error:
        reason = _lack_of_the_machine(error)
        if reason is None:
            raise
        warn(reason)
        return ExitCode.SETUP_FAILED
    except SystemExit as done:
        return int(done.code or 0)


def _lack_of_the_machine(error: MemoryError | OSError) -> str | None:
    """What is to be said when no program could do its work here; None for any other error."""
    if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
        return OUT_OF_MEMORY
    try:
        os.getcwd()
    except FileNotFoundError:
        return "the current directory was removed; change to another one"
    return None


def _run(arguments: list[str]) -> int:
    options = parse_command_line(arguments, os.environ)
    # One file a command, imported only when it is asked for.
    command = import_module(f"perfcore.cli.{options.command}_command")
    return int(command.run(options))
