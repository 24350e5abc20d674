"""`perfcore …` as a process forked from one that has imported it: a whole run without its third of a second of imports.

For tests that read what a run wrote and how it ended. What is about the start itself (signals, limits, the streams,
the interpreter's own settings) is started as a user would.
"""

import atexit
import importlib
import json
import os
import pkgutil
import random
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# Read by the interpreter, the loader or libraries before the first line of perfcore.
_EARLY_VARIABLES = ("LANG", "LC_", "LD_", "PYTHON", "TZ")
_LONGEST_ORDER = 1 << 17


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class ForkServer:
    """The process that has imported perfcore; it forks one run at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._end: socket.socket | None = None
        self._environment: dict[str, str] = {}

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        typed: str,
        timeout_s: float,
    ) -> Ended | None:
        """How the run ended; None for one that needs a start of its own, or while another one is under way."""
        order = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
        if len(order) > _LONGEST_ORDER or not self._lock.acquire(blocking=False):
            return None
        try:
            end = self._started()
            if _early(environment) != _early(self._environment):
                return None
            return _forked(end, order, typed, timeout_s)
        finally:
            self._lock.release()

    def _started(self) -> socket.socket:
        if self._end is None:
            self._environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, __file__, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    env=self._environment,
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
            atexit.register(process.wait)
            atexit.register(self._end.close)
        return self._end


SERVER = ForkServer()


def _early(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_EARLY_VARIABLES)}


def _forked(end: socket.socket, order: bytes, typed: str, timeout_s: float) -> Ended:
    with (
        tempfile.TemporaryFile() as stdin,
        tempfile.TemporaryFile() as stdout,
        tempfile.TemporaryFile() as stderr,
    ):
        stdin.write(typed.encode())
        stdin.seek(0)
        streams = [stdin, stdout, stderr]
        socket.send_fds(end, [order], [stream.fileno() for stream in streams])
        pid = int(end.recv(32))
        end.settimeout(timeout_s)
        try:
            code = int(end.recv(32))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            end.settimeout(None)
            end.recv(32)
            raise
        end.settimeout(None)
        written = [os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0) for stream in streams[1:]]
        return Ended(code, *(text.decode() for text in written))


def _serve(end: socket.socket) -> tuple[list[str], str, dict[str, str], list[int]]:
    """In each forked process: what it is to run, where, with which environment and streams; ends with the tests."""
    while True:
        order, streams, _, _ = socket.recv_fds(end, _LONGEST_ORDER, 3)
        if not order:
            sys.exit()
        pid = os.fork()
        if not pid:
            end.close()
            arguments, folder, environment = json.loads(order)
            return arguments, folder, environment, streams
        for stream in streams:
            os.close(stream)
        end.send(b"%d" % pid)
        end.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def _import_all() -> None:
    import perfcore

    for module in pkgutil.walk_packages(perfcore.__path__, "perfcore."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _become_perfcore(
    arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]
) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    sys.orig_argv = [sys.executable, "-m", "perfcore", *arguments]
    sys.argv = ["perfcore", *arguments]
    runpy.run_module("perfcore", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path[0] = str(ROOT)  # and not this folder
    with socket.socket(fileno=int(sys.argv[1])) as its_end:
        _import_all()
        ordered = _serve(its_end)
    _become_perfcore(*ordered)
