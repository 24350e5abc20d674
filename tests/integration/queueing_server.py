"""A server with one worker that takes 2 ms for each request: a queue in front of a known capacity, at most 500/s.

A process of its own. It answers in the order in which requests came, and notes how long each really kept it, from when
the kernel had it and the one before was answered: what a client should measure follows from that and the due instants.
"""

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue

from waiting import wait_until

HOLD_S = 0.002
CAPACITY = 1 / HOLD_S
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
_HELD = struct.Struct("<q")
SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_TIMESPEC = struct.Struct("qq")


class QueueingServer:
    def __init__(self, port: int, notes: Path) -> None:
        self.port = port
        self._notes = notes

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def answers(self) -> int:
        return self._notes.stat().st_size // _HELD.size

    def held_ns(self, first: int, count: int) -> list[int]:
        """How long it held so many requests from that one on, in their order; each is noted after it was answered."""
        wait_until(lambda: self.answers >= first + count, f"{first + count} answers")
        found = [held for (held,) in _HELD.iter_unpack(self._notes.read_bytes())]
        assert len(found) == first + count
        return found[first:]


@contextlib.contextmanager
def queueing_server(folder: Path) -> Iterator[QueueingServer]:
    """Running on a port of 127.0.0.1; it ends with the block, or with the process that started it."""
    notes = folder / "held"
    notes.write_bytes(b"")
    command = [sys.executable, __file__, str(notes)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield QueueingServer(int(process.stdout.readline()), notes)
    finally:
        process.kill()
        process.wait(20)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def responses_ns(due_ns: Sequence[int], held_ns: Sequence[int]) -> list[int]:
    """What requests due at these ascending instants take through a queue of one worker (Lindley 1952)."""
    free_ns, times = 0, []
    for due, held in zip(due_ns, held_ns, strict=True):
        free_ns = max(due, free_ns) + held
        times.append(free_ns - due)
    return times


def _serve(notes: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    print(listener.getsockname()[1], flush=True)
    waiting: SimpleQueue[tuple[int, socket.socket]] = SimpleQueue()
    threading.Thread(target=_work, args=(waiting, notes), daemon=True).start()
    connections: dict[int, socket.socket] = {}
    poll = select.epoll()
    for fd in (listener.fileno(), sys.stdin.fileno()):
        poll.register(fd, select.EPOLLIN)
    while True:
        came = []
        for fd, _ in poll.poll():
            if fd == sys.stdin.fileno():
                return
            if fd == listener.fileno():
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections[connection.fileno()] = connection
                poll.register(connection.fileno(), select.EPOLLIN)
            elif (came_ns := _came_ns(connections[fd])) is not None:
                came.append((came_ns, fd))
            else:
                poll.unregister(fd)
                del connections[fd]
        for came_ns, fd in sorted(came):
            waiting.put((came_ns, connections[fd]))


def _came_ns(connection: socket.socket) -> int | None:
    """When the kernel had the request that is there, by CLOCK_MONOTONIC; None at the end of the connection."""
    try:
        request, ancillary, _, _ = connection.recvmsg(65536, 256)
    except ConnectionError:
        return None
    if not request:
        return None
    for level, kind, stamp in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = _TIMESPEC.unpack_from(stamp)
            return int(seconds * 10**9 + nanoseconds - (time.time_ns() - time.monotonic_ns()))
    return time.monotonic_ns()


def _work(waiting: "SimpleQueue[tuple[int, socket.socket]]", notes: int) -> None:
    free_ns = 0
    while True:
        came_ns, connection = waiting.get()
        time.sleep(HOLD_S)
        with contextlib.suppress(OSError):
            connection.send(_ANSWER)
        began_ns, free_ns = max(came_ns, free_ns), time.monotonic_ns()
        os.write(notes, _HELD.pack(free_ns - began_ns))


if __name__ == "__main__":
    _serve(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND))
