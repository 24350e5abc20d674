"""When the kernel had the bytes of a request: SO_TIMESTAMPNS, read with them.

A request that waits in the socket's buffer while the server is busy waits for the server, and that time is nowhere
in the server's own clock. asyncio reads by `sock.recv(size)`; a `StampedSocket` answers that call by recvmsg, which
hands over the stamp with the bytes, as long as it is asked to (`start`, `stop`). One that is not asked reads as
ever. Should asyncio read in another way one day, there are no stamps, `/truth/held` says so, and a test fails.

Stamps are CLOCK_REALTIME and are compared with CLOCK_REALTIME alone: the time waited is their difference, and is
subtracted from CLOCK_MONOTONIC.
"""

import socket
import struct
import time
from collections.abc import Sequence

# asm-generic/socket.h; Python names neither. The message has the number of the option.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("ll")
_ROOM = socket.CMSG_SPACE(_TIMESPEC.size)
# Somebody set the clock: no request that a test waits for lies in a buffer for so long.
_LONGEST_WAIT_NS = 600_000_000_000


class StampedSocket(socket.socket):
    """An accepted connection. It stamps from the start, for the first request may be one that wants it."""

    _messages: Sequence[tuple[int, int, bytes]] = ()

    @property
    def is_stamping(self) -> bool:
        return "recv" in vars(self)

    def start(self) -> None:
        # On the object and not by a method of the class, so that plain reads stay C's.
        vars(self)["recv"] = self._recv_with_stamp

    def stop(self) -> None:
        """Also at the end of a connection, for the object holds itself by its method."""
        vars(self).pop("recv", None)
        self._messages = ()

    def arrived_ns(self) -> int | None:
        """CLOCK_MONOTONIC when the last bytes of the latest read came; None where that is not known."""
        for level, kind, payload in self._messages:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(payload) == _TIMESPEC.size:
                seconds, nanoseconds = _TIMESPEC.unpack(payload)
                waited_ns = time.time_ns() - seconds * 1_000_000_000 - nanoseconds
                return time.monotonic_ns() - waited_ns if 0 <= waited_ns <= _LONGEST_WAIT_NS else None
        return None

    def _recv_with_stamp(self, size: int) -> bytes:
        data, self._messages, _, _ = self.recvmsg(size, _ROOM)
        return data


class StampedListener(socket.socket):
    """Accepts StampedSockets; `accepted` has each by its descriptor, until its connection takes it."""

    def __init__(self, listener: socket.socket) -> None:
        """`listener` is empty afterwards."""
        family, kind, protocol = listener.family, listener.type, listener.proto
        super().__init__(family, kind, protocol, fileno=listener.detach())
        # Connections inherit it, so that their first bytes have a stamp already.
        self.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self.accepted: dict[int, StampedSocket] = {}

    def accept(self) -> "tuple[StampedSocket, object]":
        # What socket.accept itself calls. typeshed does not know it; the public way is 3 µs a connection dearer.
        descriptor, address = self._accept()  # type: ignore[attr-defined]
        connection = StampedSocket(self.family, self.type, self.proto, fileno=descriptor)
        connection.start()
        self.accepted[descriptor] = connection
        return connection, address
