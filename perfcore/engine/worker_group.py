"""The supervisor's hold on its worker processes: fork, talk, notice a death, end them."""

import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from perfcore.engine.worker import OUT_OF_MEMORY_CODE, PACKET_LIMIT
from perfcore.errors import SetupFailedError

# A worker that was told to end and does not (it is stopped, or hangs) is killed after so long.
END_TIMEOUT_S = 5.0
# For the messages of hundreds of tests at once; the kernel gives as much of it as it allows.
_SEND_BUFFER_BYTES = 1 << 20


@dataclass(slots=True)
class _Member:
    pid: int
    channel: socket.socket
    alive: bool = True
    ran_out_of_memory: bool = False


class WorkerGroup:
    """`main(index, channel, supervisor_pid)` runs in each fork and returns its exit code."""

    def __init__(self, workers: int, main: Callable[[int, socket.socket, int], int]) -> None:
        self._members: list[_Member] = []
        self._kills_before = _out_of_memory_kills()
        try:
            for index in range(workers):
                self._fork(index, main)
        except OSError as error:
            self.kill()
            raise SetupFailedError(
                f"worker {len(self._members)} of {workers} could not be started: {error.strerror}; "
                "--procs takes a smaller number"
            ) from error

    def _fork(self, index: int, main: Callable[[int, socket.socket, int], int]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ours.close()
                for member in self._members:
                    member.channel.close()
                code = main(index, theirs, supervisor)
            except MemoryError:
                code = OUT_OF_MEMORY_CODE
            finally:
                os._exit(code)
        theirs.close()
        ours.setblocking(False)
        self._members.append(_Member(pid, ours))

    @property
    def pids(self) -> list[int]:
        return [member.pid for member in self._members]

    @property
    def alive(self) -> list[int]:
        return [index for index, member in enumerate(self._members) if member.alive]

    def send(self, worker: int, message: Mapping[str, Any]) -> None:
        """A dead worker is not told; its death is what `receive` reports."""
        with suppress(BrokenPipeError, ConnectionResetError, BlockingIOError):
            self._members[worker].channel.send(json.dumps(message).encode())

    def receive(self, timeout_s: float) -> list[tuple[int, dict[str, Any] | None]]:
        """(worker, message) of everything that has come within `timeout_s`; None for a worker that has died."""
        poller = select.poll()
        by_fd = {}
        for index in self.alive:
            fd = self._members[index].channel.fileno()
            by_fd[fd] = index
            poller.register(fd, select.POLLIN)
        received: list[tuple[int, dict[str, Any] | None]] = []
        for fd, _ in poller.poll(timeout_s * 1000):
            received.extend((by_fd[fd], message) for message in self._read(by_fd[fd]))
        return received

    def _read(self, index: int) -> list[dict[str, Any] | None]:
        member = self._members[index]
        messages: list[dict[str, Any] | None] = []
        while True:
            try:
                packet = member.channel.recv(PACKET_LIMIT)
            except BlockingIOError:
                return messages
            except ConnectionResetError:
                # It died with a message of ours unread; told once, before what it had still sent itself.
                continue
            if not packet:
                member.alive = False
                return [*messages, None]
            messages.append(json.loads(packet))

    def cause_of_death(self, worker: int) -> str:
        """`was killed by signal 9`, `ran out of memory` or `ended with exit code 1`; the process is reaped then."""
        member = self._members[worker]
        status = self._end(member)
        if status is None:
            return "is gone"
        if os.WIFSIGNALED(status):
            by_kernel = os.WTERMSIG(status) == signal.SIGKILL and _out_of_memory_kills() > self._kills_before
            member.ran_out_of_memory = by_kernel
            told = f"was killed by signal {os.WTERMSIG(status)}"
            return f"{told} (the kernel was ending processes for lack of memory)" if by_kernel else told
        if os.WEXITSTATUS(status) == OUT_OF_MEMORY_CODE:
            member.ran_out_of_memory = True
            return "ran out of memory"
        return f"ended with exit code {os.WEXITSTATUS(status)}"

    def ran_out_of_memory(self, worker: int) -> bool:
        """Whether that was the cause of a worker's death, once it was asked for."""
        return self._members[worker].ran_out_of_memory

    def kill_worker(self, worker: int) -> None:
        """End one worker that does not answer, and wait until it is gone; nothing more is heard of it."""
        member = self._members[worker]
        member.alive = False
        self._end(member, patience_s=0.0)

    def quit(self) -> None:
        """Let the workers end by themselves, then see that they are gone."""
        for index in self.alive:
            self.send(index, {"quit": True})
        self._reap()

    def kill(self) -> None:
        for member in self._members:
            _kill(member.pid)
        self._reap()

    def _reap(self) -> None:
        for member in self._members:
            member.channel.close()
            member.alive = False
        give_up_s = time.monotonic() + END_TIMEOUT_S
        for member in self._members:
            self._end(member, patience_s=give_up_s - time.monotonic())

    def _end(self, member: _Member, *, patience_s: float = END_TIMEOUT_S) -> int | None:
        """The wait status of a worker that ends by itself within `patience_s` and is killed after; None if unknown."""
        pid, member.pid = member.pid, 0
        status = _wait(pid, patience_s)
        if status is None:
            _kill(pid)
            status = _wait(pid, END_TIMEOUT_S)
        return status


def _out_of_memory_kills() -> int:
    """How many processes the kernel has ended for lack of memory, its own and that of control groups; 0 if unknown."""
    with suppress(OSError, ValueError), open("/proc/vmstat") as counters:
        for line in counters:
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _kill(pid: int) -> None:
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _wait(pid: int, timeout_s: float) -> int | None:
    """The wait status of a child; None when it has not ended by then, or is no child any more."""
    deadline, pause_s = time.monotonic() + timeout_s, 0.0005
    while pid:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended:
            return status
        if time.monotonic() >= deadline:
            return None
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 0.02)
    return None
