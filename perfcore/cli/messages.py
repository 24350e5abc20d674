"""What a command says besides its output: an error on stderr, and silence once nobody reads."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from perfcore.errors import NotSavedError, PerfcoreError, SuiteError
from perfcore.report.printable import printable

OUT_OF_MEMORY = "there is not enough memory; free some, or raise the limit that is set for it (ulimit -v)"


def tell(error: PerfcoreError) -> None:
    """One line on stderr; a suite's mistakes one line each, in the form that editors understand."""
    _write(error.mistakes if isinstance(error, SuiteError) else [f"perfcore: {error}"])


def warn(text: str) -> None:
    """One line on stderr about what does not stop the command."""
    _write([f"perfcore: {text}"])


def _write(lines: Sequence[str]) -> None:
    if sys.stderr is None:  # closed by whoever started this; print would take stdout in its place
        return
    for line in lines:
        try:
            print(printable(line), file=sys.stderr)
        except (OSError, ValueError):
            return


def write_utf8(stream: TextIO, text: str) -> None:
    """Text that programs read: the same bytes whatever the encoding of the terminal."""
    stream.flush()
    binary = getattr(stream, "buffer", None)
    if binary is None:
        stream.write(text)
    else:
        left = memoryview(text.encode())
        while left:  # with PYTHONUNBUFFERED a write to a full pipe takes a part
            left = left[binary.write(left) or 0 :]
        binary.flush()


@contextmanager
def output() -> Iterator[TextIO]:
    """Stdout, flushed at the end. A reader that has seen enough (`| head`) is no error, a full disk is told."""
    if sys.stdout is None:  # closed by whoever started this
        with open(os.devnull, "w") as nowhere:
            yield nowhere
        return
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
    except OSError as error:
        silence(sys.stdout)
        raise NotSavedError(f"stdout: {error.strerror}: what was to be shown there is lost") from error


def silence(stream: TextIO) -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not complain when it ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
