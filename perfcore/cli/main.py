"""`main`: arguments in, exit code out. Only a PerfcoreError becomes a line of text; a bug keeps its traceback."""

import os
from importlib import import_module

from perfcore.cli.messages import tell, warn
from perfcore.cli.parser import parse_command_line
from perfcore.errors import ExitCode, PerfcoreError


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
    except KeyboardInterrupt:
        # Before the load began or after its result was saved; in between a signal asks for a drain.
        warn("interrupted")
        return ExitCode.INTERRUPTED
    except SystemExit as done:
        return int(done.code or 0)
