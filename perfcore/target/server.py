"""The half of a connection that reads: requests parsed, counted, remembered and queued for their answers.

What is not obvious: a load generator sends the same bytes again and again, so the bytes of a small complete
request are remembered (`TargetState.known`) with the plan of its answer, and when they arrive again as one piece
between two requests they need no parsing. Bytes alone decide what a request is there, so the answer is the one that
the parser would have led to.
"""

import asyncio
import hashlib
import time

import httptools

from perfcore.target.alarm import Alarm
from perfcore.target.answering import Answering
from perfcore.target.messages import Request, json_response
from perfcore.target.receive_stamps import StampedSocket
from perfcore.target.routes import find_route
from perfcore.target.state import TargetState

MAX_BODY_BYTES = 10 * 1024 * 1024
"""Of the bodies that a route wants to see; others are thrown away while they arrive, whatever their size."""
MAX_HEAD_BYTES = 65_536
_MAX_KNOWN = 1_024
_MAX_KNOWN_BYTES = 4_096


class Connection(Answering):
    """One client, as the loop (data_received …) and the parser (on_message_begin …) know it."""

    def __init__(
        self,
        state: TargetState,
        alarm: Alarm,
        connections: "set[Connection]",
        accepted: dict[int, StampedSocket],
    ) -> None:
        """`accepted` has the connection's socket, where it knows stamps; it is taken out."""
        super().__init__(state, alarm)
        self._connections = connections
        self._accepted = accepted
        self._stamps: StampedSocket | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._read_ns = 0
        self._has_asked = False
        self._is_hidden = False
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
        super().connection_made(transport)
        self._opened_at = self._state.counters.open()
        self._connections.add(self)
        self._stamps = self._accepted.pop(self._socket.fileno(), None)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if not self._is_hidden:
            self._state.counters.close()
        self._connections.discard(self)
        if self._stamps is not None:
            self._stamps.stop()
            self._stamps = None
        self._request = self._body = None

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
                    self.arrived_ns, self.is_stamped = time.monotonic_ns(), False
                    if request.is_timed:
                        self.arrived_ns, self.is_stamped = self._arrival(self.arrived_ns)
                    self._is_last = not request.keeps_alive
                    self._begin(request)
                return
        if not self._is_last:
            self._read(data)

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
        if route is not None and route.hashes_body:
            request.body_hash = hashlib.sha256()
        if request.version not in ("1.0", "1.1"):
            self._refuse(505, "HTTP/1.0 and HTTP/1.1 are spoken here")
        elif request.method == "CONNECT":
            self._refuse(405, "this server is no proxy")
        else:
            self._look_at_body(request)

    def on_body(self, part: bytes) -> None:
        request = self._request
        if request is None or self._is_last:
            return
        if request.body_hash is not None:
            request.body_hash.update(part)
            request.body_bytes += len(part)
        if self._body is None:
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
        arrived_ns, is_stamped = self._arrival(self._read_ns) if request.is_timed else (self._read_ns, False)
        self._waiting.append((request, arrived_ns, is_stamped))

    # Reading.

    def _arrival(self, read_ns: int) -> tuple[int, bool]:
        """When a request came whose time counts, and whether the kernel has said so; further ones are stamped."""
        stamps = self._stamps
        if stamps is None:
            return read_ns, False
        if not stamps.is_stamping:
            stamps.start()
        arrived_ns = stamps.arrived_ns()
        return (read_ns, False) if arrived_ns is None else (arrived_ns, True)

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
        if not self._has_asked and self._stamps is not None and not request.is_timed:
            # The first request of a connection shows what it is for, and plain reads are cheaper.
            self._stamps.stop()
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
        self._waiting.append((request, self._read_ns, False))


def _head_without_offer(request: Request) -> bytes:
    """A head that announces the body of this request and nothing else."""
    kept = (b"content-length", b"transfer-encoding")
    lines = [b"%b: %b\r\n" % header for header in request.headers if header[0].lower() in kept]
    return b"POST / HTTP/1.1\r\n" + b"".join(lines) + b"\r\n"
