"""The supervisor's hold on its worker processes: fork, talk, notice a death, end them."""

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from perfcore.engine.worker import PACKET_LIMIT
from perfcore.errors import SetupFailedError


@dataclass(slots=True)
class _Member:
    pid: int
    channel: socket.socket
    alive: bool = True


class WorkerGroup:
    """`main(index, channel, supervisor_pid)` runs in each fork and returns its exit code."""

    def __init__(self, workers: int, main: Callable[[int, socket.socket, int], int]) -> None:
        self._members: list[_Member] = []
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
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                ours.close()
                for member in self._members:
                    member.channel.close()
                code = main(index, theirs, supervisor)
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
        """`was killed by signal 9` or `ended with exit code 1`; waits for the process to be reaped."""
        member = self._members[worker]
        with suppress(ChildProcessError):
            _, status = os.waitpid(member.pid, 0)
            member.pid = 0
            if os.WIFSIGNALED(status):
                return f"was killed by signal {os.WTERMSIG(status)}"
            return f"ended with exit code {os.WEXITSTATUS(status)}"
        return "is gone"

    def quit(self) -> None:
        """Let the workers end by themselves, then see that they are gone."""
        for index in self.alive:
            self.send(index, {"quit": True})
        self._reap()

    def kill(self) -> None:
        for member in self._members:
            if member.pid:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        for member in self._members:
            member.channel.close()
            member.alive = False
            if member.pid:
                with suppress(ChildProcessError):
                    os.waitpid(member.pid, 0)
                member.pid = 0
