"""The program of a supervisor in a process of its own: `python -P supervisor_process.py SOCKET CALLER`.

SOCKET is the number of the inherited descriptor on which the order comes and everything goes back, CALLER the process
id of who started it. It has one thread, whatever its caller has. It ends with the thread that started it
(PR_SET_PDEATHSIG) and when the other end of the socket is closed; SIGIO says that something has come on it.

It is run by its path and loads perfcore from where it lies, so that neither PYTHONPATH nor the current directory
decides which perfcore it is.
"""

import ctypes
import fcntl
import importlib.util
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from perfcore.engine.message_channel import MessageWriter, Start
    from perfcore.engine.suite_run import RunOrder

_PR_SET_PDEATHSIG = 1
# More than the reason of a stop has.
_LINE_BYTES = 4096


class CallerGoneError(BaseException):
    """The caller has closed its end. Raised out of whatever runs, which clears up behind itself on the way out."""


def main(arguments: list[str]) -> int:
    """Run the one order that comes; returns the exit code."""
    _settle(int(arguments[1]))
    _load_this_perfcore()
    from perfcore.engine.message_channel import MessageWriter, read_message

    end = socket.socket(fileno=int(arguments[0]))
    end.set_inheritable(False)
    # A worker that outlives this process by a moment must not keep its caller waiting for the end of the stream.
    os.register_at_fork(after_in_child=end.close)
    writer = MessageWriter(end)
    try:
        answer = _answer(end, writer, read_message(end))
    except (CallerGoneError, EOFError, ConnectionResetError):
        return 1
    writer.send(answer)
    return 0


def _settle(caller: int) -> None:
    """Die with the caller, leave signals to it, and take over nothing else of what it does with them."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != caller:
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, the workers' deaths would have no cause
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _load_this_perfcore() -> None:
    package = Path(__file__).resolve().parent.parent
    spec = importlib.util.spec_from_file_location(
        "perfcore", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["perfcore"] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _answer(end: socket.socket, writer: "MessageWriter", start: "Start") -> object:
    """The outcome of the run, or why there is none."""
    from perfcore.engine.message_channel import Bug, Failure, Ready
    from perfcore.errors import PerfcoreError

    order: RunOrder | None = None
    try:
        # At the end: what a caller has put before the standard library is none of our modules.
        sys.path += [path for path in start.paths if path not in sys.path]
        from perfcore.engine.suite_pickle import unpack
        from perfcore.engine.suite_run import SuiteRun

        _forward_log(writer, start.log_level)
        order = unpack(start.order)
        run = SuiteRun(order, writer.offer if start.wants_progress else None)
        _listen(end, run.request_stop)
        writer.send(Ready())
        return run.run()
    except PerfcoreError as error:
        return Failure.of(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the caller is told with its traceback
        return Bug(_traceback(error, order))
    finally:
        signal.signal(signal.SIGIO, signal.SIG_IGN)


def _forward_log(writer: "MessageWriter", level: int) -> None:
    """What perfcore logs here is logged by the caller."""
    import logging

    from perfcore.engine.message_channel import LogLine

    class ToCaller(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            writer.queue(LogLine(record.name, record.levelno, record.getMessage()))

    logger = logging.getLogger("perfcore")
    logger.setLevel(level)
    logger.propagate = False
    logger.addHandler(ToCaller())


def _listen(end: socket.socket, stop: Callable[[str], None]) -> None:
    """From now on a line from the caller calls `stop`, and the end of the stream raises CallerGoneError."""

    def on_input(_number: int, _frame: FrameType | None) -> None:
        # To the last byte: a stop and the end of the stream that come together are one signal.
        while True:
            said = b""
            with suppress(ConnectionResetError):
                try:
                    said = end.recv(_LINE_BYTES, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return  # the signal also tells of room to write
            if not said:
                raise CallerGoneError
            stop(said.partition(b"\n")[0].decode("utf-8", "replace"))

    signal.signal(signal.SIGIO, on_input)
    fcntl.fcntl(end, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
    on_input(signal.SIGIO, None)  # for what came before


def _traceback(error: Exception, order: "RunOrder | None") -> str:
    if order is None:  # there is no suite yet that could be quoted
        return "".join(traceback.format_exception(error))
    from perfcore.engine.masked_traceback import masked_traceback
    from perfcore.suite.secrets import Masker

    return masked_traceback(error, Masker.for_suite(order.suite))


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # the caller waits, and the kernel frees memory faster than the interpreter
