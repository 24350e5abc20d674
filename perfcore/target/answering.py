"""The half of a connection that answers: order of answers, back-pressure, endings good and bad.

Answers go out in the order of the requests (RFC 9112 section 9.3.2). A client that pipelines faster than it is
answered, or does not read its answers, is not read from until it has caught up. A client that closes its sending
side is taken to have gone.
"""

import array
import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

from perfcore.target.alarm import Alarm, Entry
from perfcore.target.messages import Ending, Request, Stream
from perfcore.target.routes import make_plan
from perfcore.target.state import TargetState

_WRITE_AHEAD_BYTES = 262_144
_BLOCKS_A_TURN = 16
_LINGER_NS = 1_000_000_000
# How long a reset waits for a client that does not take the bytes before it, and how often it looks.
_LONGEST_WAIT_NS = 10_000_000_000
_LOOK_EVERY_NS = 1_000_000
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Answering(asyncio.Protocol):
    """An `Exchange` (see messages.py) for the request that it is answering. Whoever reads adds to `_waiting`."""

    def __init__(self, state: TargetState, alarm: Alarm) -> None:
        self.arrived_ns = 0
        self.is_stamped = False
        self._state = state
        self._alarm = alarm
        self._waiting: deque[tuple[Request, int, bool]] = deque()
        self._current: Request | None = None
        self._blocks: Iterator[bytes] | None = None
        self._ending = Ending.NEXT
        self._entry: Entry | None = None
        # Nothing under way, nothing waiting, and the reader stands before a request's first byte.
        self._is_idle = True
        self._is_advancing = False
        self._is_writable = True
        self._is_closing = False
        # No further request is accepted: the last one asked to close, or was wrong.
        self._is_last = False
        # What the reader tells: it is in the midst of a request, whose client waits for 100 Continue.
        self._is_inside = False
        self._owes_continue = False

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._write = self._transport.write
        self._transport.set_write_buffer_limits(high=_WRITE_AHEAD_BYTES)
        self._socket = cast(socket.socket, transport.get_extra_info("socket"))
        # asyncio does so itself only for sockets whose protocol number is given, which an accepted one's is not.
        # Without it the last piece of a large body waits 40 ms for the client's delayed acknowledgement.
        if self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closing = True
        self._is_idle = False
        if self._entry is not None:
            self._alarm.cancel(self._entry)
        self._waiting.clear()
        self._blocks = self._current = None

    def pause_writing(self) -> None:
        self._is_writable = False
        self._settle()

    def resume_writing(self) -> None:
        self._is_writable = True
        if self._blocks is not None:
            # Not at once: asyncio is in the middle of a write here, and a further one that meets a reset would make
            # it close the connection twice.
            asyncio.get_running_loop().call_soon(self._pump)
        self._advance()

    def abort(self) -> None:
        self._transport.abort()

    # Answering.

    def _advance(self) -> None:
        """Answer what waits, in order, as far as it can be answered now. A loop, for the queue may be long."""
        if self._is_advancing:
            return
        self._is_advancing = True
        while self._current is None and self._waiting and self._is_writable and not self._is_closing:
            if self._transport.is_closing():
                # The last write met a broken connection; connection_lost is about to be called.
                break
            request, self.arrived_ns, self.is_stamped = self._waiting.popleft()
            self._begin(request)
        self._is_advancing = False
        self._settle()

    def _settle(self) -> None:
        """Bring what follows from the state in line with it: idle or not, reading or not, 100 Continue."""
        if self._is_closing:
            self._is_idle = False
            return
        is_free = self._current is None and not self._waiting and self._is_writable
        if is_free and self._owes_continue:
            self._owes_continue = False
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._is_idle = is_free and not self._is_inside and not self._is_last
        if self._waiting or not self._is_writable:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _begin(self, request: Request) -> None:
        self._current = request
        self._is_idle = False
        plan = request.plan
        if plan is None:
            # Only now: the answers of a whole queue of pipelined requests might be large.
            plan = request.plan = make_plan(request, self._state)
            if isinstance(plan, bytes) and request.keeps_alive:
                request.wire = plan
        if isinstance(plan, bytes):
            self.send(plan)
        elif isinstance(plan, Stream):
            self._write(plan.head)
            self._blocks = plan.blocks()
            self._ending = plan.ending
            self._pump()
        else:
            plan(self)

    def hold(self, until_ns: int, then: Callable[[], None]) -> None:
        self._entry = self._alarm.at(until_ns, then)

    def send(self, wire: bytes) -> None:
        self._write(wire)
        self._finish()

    def send_raw(self, part: bytes) -> None:
        self._write(part)

    def end(self, ending: Ending) -> None:
        if ending is Ending.NEXT:
            self._finish()
            return
        self._is_last = True
        if ending is Ending.SILENCE:
            # What was pipelined is dropped, so that reading goes on and tells when the client goes.
            self._waiting.clear()
            self._settle()
            return
        self._current = self._entry = None
        self._is_closing = True
        self._is_idle = False
        is_tls = self._transport.get_extra_info("ssl_object") is not None
        deadline_ns = time.monotonic_ns() + _LONGEST_WAIT_NS
        if ending is Ending.RESET:
            self._drop_when_sent(deadline_ns, _RESET_ON_CLOSE, 2 if is_tls else 1)
            return
        self._transport.close()
        if is_tls:
            # asyncio would wait half a minute for the client's own farewell before the FIN.
            self._drop_when_sent(deadline_ns, None, 2)

    def _drop_when_sent(
        self, deadline_ns: int, linger: bytes | None, looks: int, empty_looks: int = 0
    ) -> None:
        """Drop the connection once the client's kernel has all bytes, for a reset takes away what it has not.

        That must be seen at so many looks in a row. Of TLS it takes two: what lies between it and the socket does
        not show, but the kernel takes it before the second look.
        """
        if self._socket.fileno() < 0:
            return  # the client has gone
        unsent = array.array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, unsent)
        is_empty = not unsent[0] and not self._transport.get_write_buffer_size()
        empty_looks = empty_looks + 1 if is_empty else 0
        now_ns = time.monotonic_ns()
        if empty_looks < looks and now_ns < deadline_ns:
            self._entry = self._alarm.at(
                now_ns + _LOOK_EVERY_NS,
                lambda: self._drop_when_sent(deadline_ns, linger, looks, empty_looks),
            )
            return
        if linger is not None and self._socket.family != socket.AF_UNIX:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._transport.abort()

    def _pump(self) -> None:
        """Write blocks as long as the client takes them, with a pause for the other clients now and then."""
        if self._blocks is None or not self._is_writable or self._transport.is_closing():
            return
        for _ in range(_BLOCKS_A_TURN):
            block = next(self._blocks, None)
            if block is None:
                self._blocks = None
                self.end(self._ending)
                return
            self._write(block)
            if not self._is_writable or self._transport.is_closing():
                return
        asyncio.get_running_loop().call_soon(self._pump)

    def _finish(self) -> None:
        request, self._current = self._current, None
        self._entry = None
        if request is not None and request.keeps_alive:
            self._advance()
            return
        self._is_closing = True
        self._is_idle = False
        if request is not None and request.lingers:
            self._linger()
        else:
            self._transport.close()

    def _linger(self) -> None:
        """Close once the client has closed, or a second from now.

        Closing with bytes unread makes the kernel send a reset, and the client may lose the answer to it.
        """
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._entry = self._alarm.at(time.monotonic_ns() + _LINGER_NS, self._transport.abort)
