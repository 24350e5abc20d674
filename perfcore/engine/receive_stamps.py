"""How long an answer lay in the kernel before the worker read it: client delay.

The kernel stamps what it receives (SO_TIMESTAMPNS) by CLOCK_REALTIME. A stamp is compared with that clock alone, which
is read together with the loop's own once a batch of events. A stamp comes with the bytes (recvmsg) or is looked at
before somebody else reads them (MSG_PEEK).

To ask for stamps costs 1 µs an answer, a tenth of a small request at full speed. So of users who go on by themselves
all answers are looked at up to 2,000 a second and worker, and of more so many by chance, batch by batch: of a large
batch the last answers waited longest.
"""

import random
import socket
import struct
import time
from collections.abc import Sequence
from contextlib import suppress

from perfcore.metrics.samples import DELAY_DISCARDED, packed_delay

SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_SOL_SOCKET = socket.SOL_SOCKET
_TIMESPEC = struct.Struct("qq")
_TIMESPEC_BYTES = _TIMESPEC.size
_unpack_timespec = _TIMESPEC.unpack
ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC_BYTES)
_ADAPT_EVERY_NS = 50_000_000
# So many answers in that time are looked at, or a few more.
_MOST = 100


def ask_for_stamps(connection: socket.socket) -> None:
    """Have the kernel stamp what this socket receives from now on; where it will not, nothing is known."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def ask_for_stamps_on(fd: int) -> None:
    """The same by descriptor; nothing where it is no stream: QUIC's datagrams are read in another way by libcurl."""
    connection = socket.socket(fileno=fd)
    if connection.type == socket.SOCK_STREAM:
        ask_for_stamps(connection)
    connection.detach()


def stamp_of(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """CLOCK_REALTIME nanoseconds of what came with these messages; 0 without a stamp."""
    for level, kind, data in ancillary:
        if kind == SO_TIMESTAMPNS and level == _SOL_SOCKET and len(data) == _TIMESPEC_BYTES:
            seconds, nanoseconds = _unpack_timespec(data)
            stamp_ns: int = seconds * 1_000_000_000 + nanoseconds
            return stamp_ns
    return 0


def peek_stamp(connection: socket.socket) -> int:
    """The stamp of what waits to be read there; 0 when nothing does.

    Raises OSError for an error of the connection, which nobody else is told then.
    """
    try:
        return stamp_of(connection.recvmsg(1, ANCILLARY_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)[1])
    except BlockingIOError:
        return 0


def peek_stamp_on(fd: int) -> int:
    """The same by descriptor; 0 where there is an error."""
    # The family is of no matter here.
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fileno=fd)
    try:
        return peek_stamp(connection)
    except OSError:
        return 0
    finally:
        connection.detach()


class Stamping:
    """Which batches of a transport are looked at, and what their stamps say."""

    __slots__ = ("_adapt_ns", "_chance", "_every", "_left", "_offset_ns", "_seen", "takes_batch", "weight")

    def __init__(self) -> None:
        self._chance = random.Random(1)
        self._every = 1
        self._left = 0  # batches until the next one that is looked at
        self._seen = 0
        self._adapt_ns = 0
        self._offset_ns = 0
        self.takes_batch = False
        """Whether the batch that was begun last is looked at."""
        self.weight = 1
        """For how many batches it then stands."""

    def begin_batch(self, events: int) -> None:
        """So many events are about to be handled."""
        self._offset_ns = 0
        self._seen += events
        self._left -= 1
        self.takes_batch = self._left < 0
        if self.takes_batch:
            self.weight = self._every
            self._left = self._chance.randrange(2 * self._every - 1) if self._every > 1 else 0

    def adapt(self, now_ns: int) -> None:
        """Follow the load; to be called now and then."""
        if now_ns >= self._adapt_ns:
            self._every = max(1, self._seen // _MOST)
            self._left = min(self._left, 2 * self._every)
            self._seen = 0
            self._adapt_ns = now_ns + _ADAPT_EVERY_NS

    def delay(self, stamp_ns: int, weight: int, began_ns: int, done_ns: int) -> int:
        """How long an answer waited that was stamped so and read at `done_ns`, as a row packs it.

        The request began at `began_ns`; both instants are of CLOCK_MONOTONIC. 0 without a stamp, and DELAY_DISCARDED
        for what cannot be.
        """
        if not stamp_ns:
            return 0
        if not self._offset_ns:
            self._offset_ns = time.time_ns() - time.monotonic_ns()
        delay_ns = done_ns + self._offset_ns - stamp_ns
        is_possible = 0 <= delay_ns <= done_ns - began_ns
        return packed_delay((delay_ns + 500) // 1000 if is_possible else DELAY_DISCARDED, weight)
