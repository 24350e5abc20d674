"""What a command says besides its output: an error on stderr, and silence once nobody reads."""

import os
import sys
from typing import TextIO

from perfcore.errors import PerfcoreError, SuiteError
from perfcore.report.printable import printable


def tell(error: PerfcoreError) -> None:
    """One line on stderr; a suite's mistakes one line each, in the form that editors understand."""
    lines = error.mistakes if isinstance(error, SuiteError) else [f"perfcore: {error}"]
    for line in lines:
        try:
            print(printable(line), file=sys.stderr)
        except (OSError, ValueError):
            return


def silence(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not complain when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
