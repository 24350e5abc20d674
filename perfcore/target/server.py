"""The HTTP/1.1 server itself: connections, their order of answers, back-pressure, and the server's life.

One thread, one loop. What is not obvious: a load generator sends the same bytes again and again, so the bytes of
a small complete request are remembered (`TargetState.known`) with the plan of its answer, and when they arrive
again as one piece between two requests they need no parsing. Bytes alone decide what a request is there, so the
answer is the one that the parser would have led to.

Answers go out in the order of the requests (RFC 9112 section 9.3.2). A client that pipelines faster than it is
answered, or does not read its answers, is not read from until it has caught up. A client that closes its sending
side is taken to have gone.
"""

import asyncio
import gc
import os
import resource
import signal
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import httptools

from perfcore.errors import UsageError
from perfcore.target.alarm import Alarm, Entry
from perfcore.target.certificate import server_context
from perfcore.target.messages import Request, Stream, json_response
from perfcore.target.routes import TargetState, find_route, make_plan

MAX_BODY_BYTES = 10 * 1024 * 1024
"""Of the bodies that a route wants to see; others are thrown away while they arrive, whatever their size."""
MAX_HEAD_BYTES = 65_536
_WRITE_AHEAD_BYTES = 262_144
_BLOCKS_A_TURN = 16
_MAX_KNOWN = 1_024
_MAX_KNOWN_BYTES = 4_096
_LINGER_NS = 1_000_000_000
# Thousands of users connect in the same instant while the loop accepts on one core. With the usual 100 the
# kernel would drop the rest, and their SYN would be sent again a second later: a delay of the target's own
# making. The kernel cuts this to net.core.somaxconn.
_BACKLOG = 16_384


class Connection(asyncio.Protocol):
    """One client. It is an `Exchange` (see messages.py) for the request that it is answering."""

    def __init__(self, state: TargetState, alarm: Alarm, connections: "set[Connection]") -> None:
        self.arrived_ns = 0
        self._read_ns = 0
        self._state = state
        self._alarm = alarm
        self._connections = connections
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, int]] = deque()
        self._current: Request | None = None
        self._blocks: Iterator[bytes] | None = None
        self._entry: Entry | None = None
        # Nothing under way, nothing waiting, and the parser stands before a request's first byte.
        self._is_idle = True
        self._is_advancing = False
        self._is_writable = True
        self._is_closing = False
        # No further request is accepted: the last one asked to close, or was wrong.
        self._is_last = False
        self._owes_continue = False
        self._has_asked = False
        self._is_hidden = False
        self._is_inside = False
        self._is_in_head = False
        self._is_replaying = False
        self._begun = 0
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._request: Request | None = None
        self._body: list[bytes] | None = None
        self._body_bytes = 0

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._write = self._transport.write
        self._transport.set_write_buffer_limits(high=_WRITE_AHEAD_BYTES)
        # asyncio does so itself only for sockets whose protocol number is given, which an accepted one's is not.
        # Without it the last piece of a large body waits 40 ms for the client's delayed acknowledgement.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._opened_at = self._state.counters.open()
        self._connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._is_closing = True
        self._is_idle = False
        if not self._is_hidden:
            self._state.counters.close()
        self._connections.discard(self)
        if self._entry is not None:
            self._alarm.cancel(self._entry)
        self._waiting.clear()
        self._blocks = self._current = self._request = self._body = None

    def data_received(self, data: bytes) -> None:
        if self._is_idle:
            request = self._state.known.get(data)
            if request is not None:
                if self._has_asked:
                    request.counter.count += 1
                else:
                    self._count(request)
                if request.wire is not None:
                    self._write(request.wire)
                else:
                    self.arrived_ns = time.monotonic_ns()
                    self._is_last = not request.keeps_alive
                    self._begin(request)
                return
        if not self._is_last:
            self._read(data)

    def pause_writing(self) -> None:
        self._is_writable = False
        self._settle()

    def resume_writing(self) -> None:
        self._is_writable = True
        if self._blocks is not None:
            self._pump()
        self._advance()

    def abort(self) -> None:
        self._transport.abort()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._is_replaying:
            return
        self._begun += 1
        self._is_inside = self._is_in_head = True
        self._url = b""
        self._headers = []
        self._head_bytes = 0
        self._request = None

    def on_url(self, part: bytes) -> None:
        if not self._is_replaying:
            self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        # Trailers come here too, when the head is complete; nobody wants them.
        if self._is_in_head and not self._is_replaying:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._is_replaying:
            self._is_replaying = False
            return
        self._is_in_head = False
        if self._is_last:
            return
        parser = self._parser
        request = Request(
            parser.get_method().decode("latin-1"),
            self._url.decode("latin-1"),
            parser.get_http_version(),
            self._headers,
        )
        request.keeps_alive = parser.should_keep_alive()
        self._request = request
        route = find_route(request)
        self._body = [] if route is not None and route.keeps_body else None
        self._body_bytes = 0
        if request.version not in ("1.0", "1.1"):
            self._refuse(505, "HTTP/1.0 and HTTP/1.1 are spoken here")
        elif request.method == "CONNECT":
            self._refuse(405, "this server is no proxy")
        else:
            self._look_at_body(request)

    def on_body(self, part: bytes) -> None:
        if self._body is None or self._is_last:
            return
        self._body_bytes += len(part)
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse_body()
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        request = self._request
        if request is None or self._is_last or self._is_replaying:
            return
        if self._parser.should_upgrade() and self._announces_body(request):
            # Not complete: httptools passes over the body of a request that offers to upgrade. See _feed.
            self._is_replaying = True
            return
        self._is_inside = False
        self._owes_continue = False
        self._count(request)
        if self._body:
            request.body = b"".join(self._body)
        self._body = None
        self._request = None
        self._is_last = not request.keeps_alive
        self._waiting.append((request, self._read_ns))

    # Reading.

    def _read(self, data: bytes) -> None:
        self._read_ns = time.monotonic_ns()
        was_idle, was_in_head, begun = self._is_idle, self._is_in_head, self._begun
        self._feed(data)
        if was_in_head and self._is_in_head and begun == self._begun:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, f"the head of the request is larger than {MAX_HEAD_BYTES} bytes")
        if was_idle and not self._is_inside and self._begun == begun + 1 and self._waiting:
            self._remember(data, self._waiting[0][0])
        self._advance()

    def _feed(self, data: bytes) -> None:
        """Parse `data`, ending with a refusal in the queue if it is not HTTP.

        Offers to upgrade (`Upgrade: h2c`) are declined by going on in HTTP/1.1. The parser stops behind the head
        of such a request; if it has a body, the parser is given a head that announces the same body without
        the offer, while the callbacks keep what they know.
        """
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                if self._is_replaying and self._request is not None:
                    data = _head_without_offer(self._request) + data
                continue
            except httptools.HttpParserError as error:
                self._refuse(400, f"not HTTP: {error}")
            return

    def _look_at_body(self, request: Request) -> None:
        """Refuse a body that is announced as too large, and answer a client that waits before it sends one."""
        length = expect = b""
        for name, value in request.headers:
            lowered = name.lower()
            if lowered == b"content-length":
                length = value
            elif lowered == b"expect":
                expect = value.lower()
        if self._body is not None and length.isdigit() and int(length) > MAX_BODY_BYTES:
            self._refuse_body()
        elif expect == b"100-continue":
            self._owes_continue = request.version == "1.1"
        elif expect:
            self._refuse(417, "only 100-continue can be expected")

    def _announces_body(self, request: Request) -> bool:
        return any(
            name.lower() == b"transfer-encoding" or (name.lower() == b"content-length" and value.strip(b"0"))
            for name, value in request.headers
        )

    def _count(self, request: Request) -> None:
        """Count a request that is complete, and its connection according to what it has asked for so far."""
        counters = self._state.counters
        if request.is_stats:
            if not self._has_asked and not self._is_hidden:
                self._is_hidden = True
                counters.hide(self._opened_at)
            return
        if self._is_hidden:
            self._is_hidden = False
            self._opened_at = counters.open()
        self._has_asked = True
        request.counter = counters.path(request.path)
        request.counter.count += 1

    def _remember(self, data: bytes, request: Request) -> None:
        """So that the same bytes need no parsing; `known` is emptied when full, which costs but a few parses."""
        if request.is_stats or request.lingers or len(data) > _MAX_KNOWN_BYTES:
            return
        known = self._state.known
        if len(known) >= _MAX_KNOWN:
            known.clear()
        known[data] = request

    def _refuse_body(self) -> None:
        self._refuse(413, f"the body is larger than {MAX_BODY_BYTES} bytes")

    def _refuse(self, status: int, message: str) -> None:
        """Answer, after what was asked before, that this cannot be read on; then close."""
        if self._is_last:
            return
        request = self._request or Request("GET", "/", "1.1", [])
        request.keeps_alive = False
        request.lingers = True
        request.plan = request.encode(json_response(status, {"error": message}))
        self._state.counters.rejected += 1
        self._is_last = True
        self._owes_continue = False
        self._body = None
        self._request = None
        self._waiting.append((request, self._read_ns))

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
            request, self.arrived_ns = self._waiting.popleft()
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
            self._pump()
        else:
            plan(self)

    def hold(self, until_ns: int, then: Callable[[], None]) -> None:
        self._entry = self._alarm.at(until_ns, then)

    def send(self, wire: bytes) -> None:
        self._write(wire)
        self._finish()

    def _pump(self) -> None:
        """Write blocks as long as the client takes them, with a pause for the other clients now and then."""
        if self._blocks is None or not self._is_writable or self._transport.is_closing():
            return
        for _ in range(_BLOCKS_A_TURN):
            block = next(self._blocks, None)
            if block is None:
                self._blocks = None
                self._finish()
                return
            self._write(block)
            if not self._is_writable:
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


def _head_without_offer(request: Request) -> bytes:
    """A head that announces the body of this request and nothing else."""
    kept = (b"content-length", b"transfer-encoding")
    lines = [b"%b: %b\r\n" % header for header in request.headers if header[0].lower() in kept]
    return b"POST / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n"


def allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(host: str, port: int, uses_tls: bool, ca_out: Path | None, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `announce` gets the URL once connections are accepted.

    UsageError when the address cannot be used or TLS cannot be had.
    """
    context = server_context(ca_out) if uses_tls else None
    allow_many_connections()
    asyncio.run(_serve(host, port, context, announce))


def _listen(host: str, port: int) -> socket.socket:
    """A socket on the first address of `host`; on several, port 0 would be a different port on each."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        # A name that cannot be resolved has a negative number, which is not the kernel's.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise UsageError(f"cannot listen on {host}:{port}: {reason}") from None


async def _serve(
    host: str, port: int, context: ssl.SSLContext | None, announce: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    state = TargetState()
    alarm = Alarm(loop)
    connections: set[Connection] = set()
    listener = _listen(host, port)
    address, bound_port = listener.getsockname()[:2]
    server = await loop.create_server(
        lambda: Connection(state, alarm, connections), sock=listener, ssl=context, backlog=_BACKLOG
    )
    # What was loaded to get here stays; the collector need not walk through it while requests wait.
    gc.freeze()
    shown_address = f"[{address}]" if ":" in address else address
    announce(f"{'https' if context else 'http'}://{shown_address}:{bound_port}")
    await stopped.wait()
    server.close()
    for connection in list(connections):
        connection.abort()
    alarm.close()
