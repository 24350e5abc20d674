"""The bytes of a suite, from a file, a pipe or standard input: bounded in size, and never waited for without end.

A path may be a pipe of the shell (`perfcore <(generate)`), so what is not a regular file is opened without
blocking and read as it comes. Whoever writes may take their time; a named pipe that nobody writes to is given up.
"""

import io
import os
import select
import stat
import sys
from pathlib import Path

from perfcore.errors import SuiteError

# A suite of a thousand tests has some hundred kilobytes; the bound keeps the answer quick for a wrong path.
LARGEST_FILE = 5_000_000
# How long a named pipe may be without anybody who writes to it.
LONGEST_WITHOUT_WRITER_S = 5.0
_CHUNK = 1 << 20


def read_path(path: Path) -> bytes:
    """What the file or pipe holds. Raises SuiteError for what cannot be read, or is more than LARGEST_FILE."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        raise SuiteError([f"{path}: cannot be read: {_reason(error)}"]) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise SuiteError([f"{path}: is a directory, not a suite file"])
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise SuiteError([f"{path}: is a device, not a suite file; - is standard input"])
        return read_descriptor(descriptor, str(path), may_lack_writer=_is_named_pipe(descriptor, mode))
    except OSError as error:
        raise SuiteError([f"{path}: cannot be read: {_reason(error)}"]) from None
    finally:
        os.close(descriptor)


def read_standard_input() -> bytes:
    """What standard input holds, up to its end, under the same bounds."""
    try:
        descriptor = sys.stdin.fileno()
    except io.UnsupportedOperation:  # something else was put in its place
        return bounded(sys.stdin.read(LARGEST_FILE + 1).encode("utf-8", "surrogatepass"), "stdin")
    except (AttributeError, ValueError):
        raise SuiteError(["stdin: is closed"]) from None
    try:
        return read_descriptor(descriptor, "stdin")
    except OSError as error:
        raise SuiteError([f"stdin: cannot be read: {_reason(error)}"]) from None


def read_descriptor(descriptor: int, label: str, *, may_lack_writer: bool = False) -> bytes:
    """Reads to the end. `may_lack_writer` is for a pipe that somebody may still open, or nobody ever."""
    chunks: list[bytes] = []
    size = 0
    has_waited = False
    while size <= LARGEST_FILE:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            # Somebody has it open and is not ready yet.
            may_lack_writer = False
            _wait_for_data(descriptor, None)
            continue
        if chunk:
            may_lack_writer = False
            chunks.append(chunk)
            size += len(chunk)
        elif not may_lack_writer:
            break
        elif has_waited:
            raise SuiteError([f"{label}: is a pipe that nobody writes to"])
        else:
            # The end is told as well once a writer came and went; one that is silent is found by the next read.
            may_lack_writer = not _wait_for_data(descriptor, LONGEST_WITHOUT_WRITER_S)
            has_waited = True
    return bounded(b"".join(chunks), label)


def bounded(content: bytes, label: str) -> bytes:
    """The content, unless it is more than LARGEST_FILE; then SuiteError."""
    if len(content) > LARGEST_FILE:
        raise SuiteError([f"{label}: is larger than {LARGEST_FILE // 1_000_000} MB; that is no suite file"])
    return content


def _is_named_pipe(descriptor: int, mode: int) -> bool:
    """Whether others can still open it: a pipe between processes has no name but pipe:[number]."""
    return stat.S_ISFIFO(mode) and not os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:")


def _wait_for_data(descriptor: int, seconds: float | None) -> bool:
    """Whether there is something to read, or the end, within that time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
