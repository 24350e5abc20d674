"""A run in a fresh Python interpreter, for callers that have threads: a notebook, a web server, pytest-xdist.

A fork copies one thread and every lock in whatever state the others had left it, so workers are forked only from a
process with one thread. This is the caller's side: it starts `supervisor_process`, hands it the order, passes on what
comes back, and sees that nothing is left. The order may hold secrets: it goes over the socket, never over a command
line, the environment or a file. `run` may be called in any thread, and in several at once.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from perfcore.engine import supervisor_process
from perfcore.engine.message_channel import Bug, Failure, LogLine, MessageReader, Ready, Start, framed
from perfcore.engine.suite_pickle import pack
from perfcore.engine.suite_run import RunOrder, RunOutcome
from perfcore.errors import PerfcoreError, RunLostError, SetupFailedError
from perfcore.metrics.progress import RunProgress
from perfcore.suite.secrets import Masker
from perfcore.units import format_duration

START_TIMEOUT_S = 60.0
# A supervisor that was told to end, and does not, is killed after so long; it needs this for its own workers.
END_TIMEOUT_S = 10.0
_LONGEST_REASON = 1_000
_LONGEST_STDERR = 4_096
_TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WAY_OUT = "multiprocessing.set_executable(PATH) names the python to start"
_WHY = "this process has several threads, so the run needs a Python interpreter of its own"
_log = logging.getLogger("perfcore")


class FreshInterpreter:
    """Runs its order once, in a child process. `request_stop` and `abandon` are safe in a signal handler."""

    def __init__(self, order: RunOrder, on_progress: Callable[[RunProgress], None] | None) -> None:
        self._order = order
        self._on_progress = on_progress
        self._process: _SupervisorProcess | None = None
        self._is_ready = False
        self._stop_reason: str | None = None
        self._is_abandoned = False

    def run(self) -> RunOutcome:
        """As SuiteRun.run; `on_progress` is called here, and what it raises ends the run.

        Raises SetupFailedError when no supervisor comes up, RunLostError when it dies, RuntimeError for a bug there.
        """
        start = self._start()
        process = self._process = _SupervisorProcess()
        try:
            if self._is_abandoned:
                process.kill()
            outcome = self._follow(process, start)
        except BaseException:
            process.close()
            raise
        said = process.close()
        if said:
            _log.warning("the supervisor process said: %s", Masker.for_suite(self._order.suite).text(said))
        return outcome

    def request_stop(self, reason: str) -> None:
        """Start nothing more, finish what is under way."""
        self._stop_reason = reason
        if self._is_ready:
            self._tell_stop(reason)

    def abandon(self) -> None:
        """Kill the supervisor, and its workers with it."""
        self._is_abandoned = True
        if self._process is not None:
            self._process.kill()

    def _start(self) -> Start:
        return Start(
            paths=[path for path in sys.path if isinstance(path, str) and os.path.isabs(path)],
            log_level=_log.getEffectiveLevel(),
            wants_progress=self._on_progress is not None,
            order=pack(replace(self._order, own_process=True)),
        )

    def _follow(self, process: "_SupervisorProcess", start: Start) -> RunOutcome:
        """Everything that it says until the outcome."""
        reader = MessageReader(process.end)
        try:
            process.tell(start)
            while messages := reader.receive(None if self._is_ready else START_TIMEOUT_S):
                outcome = self._hear(process, messages)
                if outcome is not None:
                    return outcome
        except TimeoutError:
            raise SetupFailedError(
                f"{_WHY}: {process.executable} was started and has not answered within "
                f"{format_duration(START_TIMEOUT_S)}; {_WAY_OUT}"
            ) from None
        raise self._why_lost(process)

    def _hear(self, process: "_SupervisorProcess", messages: Sequence[Any]) -> RunOutcome | None:
        # A callback that takes its time is not made to go through all that it has missed.
        progress = [message for message in messages if isinstance(message, RunProgress)]
        for message in messages:
            if isinstance(message, RunOutcome):
                return message
            if isinstance(message, Ready):
                self._is_ready = True
                if self._stop_reason is not None:
                    self._tell_stop(self._stop_reason)
            elif isinstance(message, LogLine):
                logging.getLogger(message.logger).log(message.level, "%s", message.text)
            elif isinstance(message, Failure):
                raise message.error()
            elif isinstance(message, Bug):
                raise self._bug(process, message.traceback)
            elif message is progress[-1] and self._on_progress is not None:
                self._on_progress(message)
        return None

    def _tell_stop(self, reason: str) -> None:
        line = " ".join(reason.split())[:_LONGEST_REASON] + "\n"
        if self._process is not None:
            self._process.tell_line(line.encode("utf-8", "replace"))

    def _bug(self, process: "_SupervisorProcess", traceback: str) -> Exception:
        bug = RuntimeError(f"the supervisor process met a bug of perfcore:\n{traceback}")
        if self._is_ready:
            return bug
        error = SetupFailedError(
            f"{_WHY}: {process.executable} was started and cannot run perfcore: {_last_line(traceback)}; {_WAY_OUT}"
        )
        error.__cause__ = bug
        return error

    def _why_lost(self, process: "_SupervisorProcess") -> PerfcoreError:
        cause, said = process.cause_of_death()
        if self._is_abandoned:
            return RunLostError("the run was abandoned")
        last = Masker.for_suite(self._order.suite).text(_last_line(said))
        told = f"{cause}: {last}" if last else cause
        if self._is_ready:
            return RunLostError(f"the supervisor process of the run {told}; what it had measured is lost")
        return SetupFailedError(f"{_WHY}: {process.executable} was started and {told}; {_WAY_OUT}")


class _SupervisorProcess:
    """The child process: running once made, gone after `close`."""

    def __init__(self) -> None:
        self.executable = _python()
        try:
            self._open()
        except OSError as error:
            reason = error.strerror or str(error)
            raise SetupFailedError(
                f"{_WHY}: {self.executable} could not be started: {reason}; {_WAY_OUT}"
            ) from error

    def _open(self) -> None:
        self.end, theirs = socket.socketpair()
        with theirs:
            try:
                # In memory and not a pipe: nobody reads it while the run lasts.
                self._stderr = os.memfd_create("perfcore-supervisor-stderr", os.MFD_CLOEXEC)
                try:
                    self._process = self._popen(theirs.fileno())
                except BaseException:
                    os.close(self._stderr)
                    raise
            except BaseException:
                self.end.close()
                raise

    def _popen(self, fd: int) -> "subprocess.Popen[bytes]":
        # Its arguments are for every user of the machine to read.
        arguments = [str(Path(supervisor_process.__file__).resolve()), str(fd), str(os.getpid())]
        with _terminal_signals_held():
            return subprocess.Popen(
                [self.executable, "-P", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                pass_fds=(fd,),
            )

    def tell(self, start: Start) -> None:
        """TimeoutError when it does not read in time; one that is dead is noticed by who reads."""
        self.end.settimeout(START_TIMEOUT_S)
        with suppress(BrokenPipeError, ConnectionResetError):
            self.end.sendall(framed(start), socket.MSG_NOSIGNAL)
        self.end.settimeout(None)

    def tell_line(self, line: bytes) -> None:
        with suppress(OSError):
            self.end.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)

    def kill(self) -> None:
        self._process.kill()

    def cause_of_death(self) -> tuple[str, str]:
        """`was killed by signal 9` or `ended with exit code 1`, and what it had said."""
        code = self._wait()
        cause = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return cause, self._said()

    def close(self) -> str:
        """End it: a closed socket has it clear up and go. Returns what it had said on its stderr."""
        with suppress(OSError):
            self.end.shutdown(socket.SHUT_RDWR)  # a fork of the caller's may hold the descriptor as well
        self.end.close()
        try:
            self._wait()
            return self._said()
        finally:
            os.close(self._stderr)

    def _wait(self) -> int:
        try:
            return self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _said(self) -> str:
        size = os.fstat(self._stderr).st_size
        text = os.pread(self._stderr, _LONGEST_STDERR, max(0, size - _LONGEST_STDERR))
        return text.decode("utf-8", "replace").strip()


def _python() -> str:
    from multiprocessing import spawn

    path = os.fsdecode(spawn.get_executable() or "")
    # Of a frozen program it is the program itself.
    if not path or (getattr(sys, "frozen", False) and path == sys.executable):
        raise SetupFailedError(f"{_WHY}, and sys.executable names none; {_WAY_OUT}")
    return path


@contextmanager
def _terminal_signals_held() -> Iterator[None]:
    """The child inherits what is held back in this thread: until it ignores them itself, they cannot end it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TERMINAL_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
