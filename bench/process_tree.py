"""One program from its start to its end: CPU time and memory of everything that it started.

CPU time is wait4's: the process and all of its descendants that were waited for. Those that outlive their parent come
to this process (it is their subreaper), are ended and waited for here, and their CPU time is told apart, so that a
program whose figures would be too low is noticed.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.cores import on_cores

_PR_SET_CHILD_SUBREAPER = 36
# Reading smaps of a contestant takes its memory lock for a moment; once a second is not felt.
_MEMORY_EVERY_S = 1.0
_MEGABYTE = 1024 * 1024


class OverdueError(Exception):
    """A program did not end in its time, and was killed."""


@dataclass(frozen=True)
class Spent:
    cpu_s: float
    """User and system time of the whole tree."""
    orphans_cpu_s: float
    """Of which processes that nobody had waited for."""
    wall_s: float
    started_at_s: float
    """time.time() just before it was started."""
    ended_at_s: float
    exit_code: int
    peak_pss_mb: float | None
    """Largest sum over the tree of proportional set sizes, looked at once a second; None where it ended before.

    Not ru_maxrss: that begins with the size of the process that forked, and knows only the largest of a tree.
    """


def run(
    command: Sequence[str],
    *,
    cores: frozenset[int],
    limit_s: float,
    output: Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    feed: bytes | None = None,
) -> Spent:
    """Runs it to its end; stdout goes to `output`, stderr to `output` with `.err`. OverdueError."""
    _become_subreaper()
    known = _children()
    pipe = subprocess.PIPE if feed is not None else subprocess.DEVNULL
    with output.open("wb") as out, output.with_suffix(".err").open("wb") as err, on_cores(cores):
        started_at_s, started = time.time(), time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=pipe,
            stdout=out,
            stderr=err,
            cwd=folder,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    if feed is not None and process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(feed)
            process.stdin.close()
    try:
        peak = _wait(process, limit_s)
    except BaseException:
        # Nobody has waited for it yet, so the number is still its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        _end_orphans(known)
        raise
    wall_s, ended_at_s = time.perf_counter() - started, time.time()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    orphans = _end_orphans(known)
    return Spent(
        usage.ru_utime + usage.ru_stime + orphans,
        orphans,
        wall_s,
        started_at_s,
        ended_at_s,
        process.returncode,
        peak / _MEGABYTE if peak else None,
    )


def _wait(process: "subprocess.Popen[bytes]", limit_s: float) -> int:
    """Until it has ended; the peak of its tree's memory in bytes."""
    handle = os.pidfd_open(process.pid)
    deadline = time.monotonic() + limit_s
    peak = 0
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise OverdueError(f"{process.args!r} did not end within {limit_s:g} s")
            if select.select([handle], [], [], min(left, _MEMORY_EVERY_S))[0]:
                return peak
            peak = max(peak, tree_pss(process.pid))
    finally:
        os.close(handle)


def tree_pss(pid: int) -> int:
    """Bytes of a process and its descendants, shared pages divided among those that share them."""
    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += each.memory_full_info().pss
    return total


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of living processes."""
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def _end_orphans(known: set[int]) -> float:
    """CPU seconds of processes that came to this one."""
    spent = 0.0
    for pid in _children() - known:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            usage = os.wait4(pid, 0)[2]
            spent += usage.ru_utime + usage.ru_stime
    return spent


def _become_subreaper() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
