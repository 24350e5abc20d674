"""`main`: arguments in, exit code out. Only a PerfcoreError becomes a line of text; a bug keeps its traceback."""

import os
import sys
from importlib import import_module

from perfcore.cli.parser import parse_command_line
from perfcore.errors import PerfcoreError, SuiteError


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    try:
        options = parse_command_line(arguments, os.environ)
        # One file a command, imported only when it is asked for.
        command = import_module(f"perfcore.cli.{options.command}_command")
        return int(command.run(options))
    except PerfcoreError as error:
        tell(error)
        return int(error.exit_code)
    except BrokenPipeError:
        # Whoever read stdout has seen enough (`perfcore schema | head`).
        silence(sys.stdout)
        return 0
    except SystemExit as done:
        return int(done.code or 0)


def tell(error: PerfcoreError) -> None:
    """One line on stderr; a suite's mistakes one line each, in the form that editors understand."""
    lines = error.mistakes if isinstance(error, SuiteError) else [f"perfcore: {error}"]
    for line in lines:
        try:
            print(line, file=sys.stderr)
        except (OSError, ValueError):
            return


def silence(stream: object) -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not complain when it ends."""
    fileno = getattr(stream, "fileno", None)
    if fileno is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, fileno())
        os.close(null)
