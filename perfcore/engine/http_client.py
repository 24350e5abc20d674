"""HttpClient: the Transport over libcurl transfers, and the only place of transfers that knows pycurl.

What is not obvious, each with its measurement in bench/README.md or the engine notes of ARCHITECTURE.md:

- Users are held in several CurlMulti ("shards") over one epoll, since libcurl's cost of one request grows with
  the handles in a CurlMulti.
- Each user has a CurlShare of its own for its connections. In a CurlMulti's common pool fifty thinking users
  would share five connections, which no real users do.
- There is no timer callback: two to three Python calls a request are saved by asking each touched shard once a
  pass (`CurlMulti.timeout`) for when it wants to be called.
- libcurl asks for a socket anew for each request and gives it back after. The descriptor stays registered in
  epoll over that; one that becomes ready while nobody wants it (the server closed it) is unregistered.
- Without a write callback libcurl writes bodies to C stdout. A worker's descriptor 1 is /dev/null, so bodies
  that nobody looks at cost no Python call.
- A user's connection calls back into the Curl handle that opened it, so handles outlive their share's pool:
  `close` detaches and closes the shares first.
"""

import os
import ssl
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pycurl

from perfcore._version import __version__
from perfcore.engine.curl_errors import error_code
from perfcore.engine.poller import READ, WRITE, Poller, is_readable
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.samples import CONNECTED, RESENT

USERS_PER_SHARD = 40
USER_AGENT = f"perfcore/{__version__}"
# Of a body that an expectation wants to see, no more than this is kept; the rest is read and counted only.
BODY_LIMIT = 16 * 1024 * 1024
HEADERS_LIMIT = 256 * 1024
# After so long in one batch the loop gets its turn, so that due starts are not kept waiting.
BATCH_NS = 250_000
_FAR_NS = 1 << 62
_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
_TIMEOUT_SOCKET = pycurl.SOCKET_TIMEOUT
_EPOLL_EVENTS = {pycurl.POLL_IN: READ, pycurl.POLL_OUT: WRITE, pycurl.POLL_INOUT: READ | WRITE}
_UNWANTED = 0
_clock_ns = time.monotonic_ns
# Bytes by which a request may differ from what the first one foretells: the digits of Content-Length, non-ASCII.
_SIZE_SLACK = 32

# Names of their own for what every request asks: a module's attribute is a second look-up each time.
_RESPONSE_CODE = pycurl.RESPONSE_CODE
_FIRST_BYTE_US = pycurl.STARTTRANSFER_TIME_T
_BODY_SIZE = pycurl.SIZE_DOWNLOAD_T
_HEAD_SIZE = pycurl.HEADER_SIZE


def versions() -> dict[str, str]:
    """The libraries that carry the requests, for the environment block."""
    info = pycurl.version_info()
    return {"libcurl": info[1], "pycurl": pycurl.version.split()[0].split("/")[1], "tls": info[5].strip()}


def default_ca_file() -> str | None:
    """The system's certificate bundle: SSL_CERT_FILE, else where OpenSSL and the distributions keep it."""
    known = (
        os.environ.get("SSL_CERT_FILE"),
        ssl.get_default_verify_paths().cafile,
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    )
    return next((path for path in known if path and os.path.isfile(path)), None)


class _Shard:
    """A CurlMulti, how many transfers it has under way, and when libcurl wants to be called for them.

    Its methods are kept bound: looking one up on a pycurl object costs as much as a small call.
    """

    __slots__ = (
        "act",
        "active",
        "add_handle",
        "deadline_ns",
        "handles",
        "info_read",
        "multi",
        "remove_handle",
        "timeout",
        "touched",
    )

    def __init__(self) -> None:
        self.multi = pycurl.CurlMulti()
        self.act = self.multi.socket_action
        self.add_handle = self.multi.add_handle
        self.remove_handle = self.multi.remove_handle
        self.info_read = self.multi.info_read
        self.timeout = self.multi.timeout
        self.active = 0
        self.handles = 0
        self.deadline_ns = _FAR_NS
        self.touched = False


class _Address:
    """A server's address of one test: connections opened to it and requests that it answered or broke off."""

    __slots__ = ("connections", "requests")

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0


class _Connection:
    """The transport's side of a user: its Curl handle, its pool, what is known of the request under way."""

    __slots__ = (
        "active",
        "address",
        "body",
        "body_bytes",
        "configured",
        "getinfo",
        "handle",
        "head_size",
        "header_bytes",
        "header_lines",
        "keeps",
        "overhead",
        "plain",
        "shard",
        "share",
        "sockets",
    )

    def __init__(self, shard: _Shard) -> None:
        self.shard = shard
        self.handle = pycurl.Curl()
        self.getinfo = self.handle.getinfo_raw  # getinfo looks whether the number is text to decode
        self.keeps = False  # somebody looks at bodies or headers
        self.active = False
        self.address = _Address()  # whom it is connected to; nobody as yet
        self.share = _pool()
        self.configured: Request | None = None
        self.sockets = 0  # opened for the request under way
        self.overhead: int | None = None  # bytes of a request that neither URL, headers nor body decide
        self.plain = False  # the last request found its connection kept and its size known
        self.head_size: int | None = None  # of a request configured once and sent again and again
        self.body: list[bytes] = []
        self.body_bytes = 0
        self.header_lines: list[bytes] = []
        self.header_bytes = 0


class HttpClient:
    """libcurl transfers on CurlMulti shards, one epoll over all of them. See engine/transport.py for the methods."""

    name = "transfer"

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._shards: list[_Shard] = []
        self._connections: list[_Connection] = []
        self._exchange_of: dict[pycurl.Curl, Exchange] = {}
        self._touched: list[_Shard] = []
        self._ripe: list[_Shard] = []
        self._wake_ns = _FAR_NS
        self._addresses: dict[tuple[int, str], _Address] = {}
        self._ca_file = default_ca_file()
        # Indexed by descriptor: what epoll watches, what libcurl wants (both in libcurl's numbers), for which shard.
        self._registered: list[int] = []
        self._wanted: list[int] = []
        self._owner: list[_Shard | None] = []
        self._user_of: dict[int, _Connection] = {}  # by descriptor

    @property
    def in_flight(self) -> int:
        return sum(shard.active for shard in self._shards)

    # -- one request ---------------------------------------------------------------------------------------

    def start(self, exchange: Exchange, request: Request) -> None:
        """Send `request` now; `exchange.issued_ns` is stamped right before libcurl gets it."""
        connection = exchange.transport_state
        if connection is None:
            connection = self._open(exchange)
        if connection.configured is not request:
            self._configure(connection, request)
        shard = connection.shard
        connection.active = True
        shard.active += 1
        exchange.issued_ns = _clock_ns()
        shard.add_handle(connection.handle)
        # libcurl starts a transfer only when it is next called; one call for each, so that `issued` is right.
        if shard.act(_TIMEOUT_SOCKET, 0)[1] < shard.active:
            self._ripe.append(shard)
        if not shard.touched:
            shard.touched = True
            self._touched.append(shard)

    def poll(self, timeout_s: float) -> list[Exchange]:
        """Exchanges that have ended, `done_ns` stamped after the last byte of each."""
        completed: list[Exchange] = []
        if self._ripe:
            for ripe in self._ripe:
                self._collect(ripe, _clock_ns(), completed)
            self._ripe.clear()
        begin_ns = _clock_ns()
        timeout_s = 0 if completed else self._until_libcurl_wants(begin_ns, timeout_s)
        events = self._poller.wait(timeout_s)
        owners, wanted = self._owner, self._wanted
        begin_ns = _clock_ns()
        for fd, ready in events:
            shard = owners[fd]
            if shard is None or not wanted[fd]:
                self._unregister(fd)
                self._drop_idle(fd)
                continue
            bitmask = 1 if ready == READ else _curl_events(ready)
            if not shard.touched:
                shard.touched = True
                self._touched.append(shard)
            if shard.act(fd, bitmask)[1] < shard.active:
                now_ns = _clock_ns()
                self._collect(shard, now_ns, completed)
                if now_ns - begin_ns > BATCH_NS:
                    break
        if _clock_ns() >= self._wake_ns:
            self._serve_timers(completed)
        return completed

    def cut(self, exchange: Exchange) -> None:
        connection = exchange.transport_state
        if connection is not None and connection.active:
            self._release(connection)

    def location(self, exchange: Exchange) -> str | None:
        url = exchange.transport_state.handle.getinfo(pycurl.REDIRECT_URL)
        return str(url) if url else None

    def addresses(self) -> dict[int, dict[str, dict[str, int]]]:
        """By test and address: the connections opened to it and the requests sent to it."""
        counted: dict[int, dict[str, dict[str, int]]] = {}
        for (case, address), counts in self._addresses.items():
            figures = {"connections": counts.connections, "requests": counts.requests}
            counted.setdefault(case, {})[address] = figures
        return counted

    def _address(self, case: int, address: str) -> _Address:
        return self._addresses.setdefault((case, address), _Address())

    def close(self) -> None:
        for connection in self._connections:
            if connection.active:
                self._release(connection)
            connection.handle.unsetopt(pycurl.SHARE)
        with warnings.catch_warnings():
            # pycurl cannot call back from a closing share or multi: it says so and closes the sockets itself.
            warnings.simplefilter("ignore", RuntimeWarning)
            for connection in self._connections:
                connection.share.close()
            for connection in self._connections:
                connection.handle.close()
            for shard in self._shards:
                shard.multi.close()
        self._poller.close()
        self._connections.clear()
        self._exchange_of.clear()
        self._user_of.clear()
        self._shards.clear()

    # -- when libcurl wants to be called --------------------------------------------------------------------

    def _until_libcurl_wants(self, now_ns: int, timeout_s: float) -> float:
        for shard in self._touched:
            shard.touched = False
            ms = shard.timeout()
            shard.deadline_ns = _FAR_NS if ms < 0 else now_ns + ms * 1_000_000
            if shard.deadline_ns < self._wake_ns:
                self._wake_ns = shard.deadline_ns
        self._touched.clear()
        return max(0.0, min(timeout_s, (self._wake_ns - now_ns) / 1e9))

    def _serve_timers(self, completed: list[Exchange]) -> None:
        now_ns = _clock_ns()
        for shard in self._shards:
            if shard.deadline_ns <= now_ns:
                shard.deadline_ns = _FAR_NS
                running = shard.act(_TIMEOUT_SOCKET, 0)[1]
                if not shard.touched:
                    shard.touched = True
                    self._touched.append(shard)
                if running < shard.active:
                    self._collect(shard, _clock_ns(), completed)
        self._wake_ns = min((shard.deadline_ns for shard in self._shards), default=_FAR_NS)

    # -- completions ------------------------------------------------------------------------------------------

    def _collect(self, shard: _Shard, now_ns: int, completed: list[Exchange]) -> None:
        waiting = 1
        while waiting:
            waiting, succeeded, failed = shard.info_read()
            for handle in succeeded:
                exchange = self._exchange_of[handle]
                exchange.done_ns = now_ns
                self._finish(exchange, shard)
                completed.append(exchange)
            for handle, curl_code, message in failed:
                exchange = self._exchange_of[handle]
                exchange.done_ns = now_ns
                self._finish_failed(exchange, handle, curl_code, message)
                completed.append(exchange)

    def _finish(self, exchange: Exchange, shard: _Shard) -> None:
        connection = exchange.transport_state
        getinfo = connection.getinfo
        exchange.error = 0
        exchange.status = getinfo(_RESPONSE_CODE)
        first_byte_us = getinfo(_FIRST_BYTE_US)
        exchange.received_bytes = getinfo(_BODY_SIZE) + getinfo(_HEAD_SIZE)
        if connection.sockets or connection.head_size is None:
            self._note_connection(exchange, connection, first_byte_us)
        else:
            exchange.ttfb_us = first_byte_us
            connection.address.requests += 1
            if not connection.plain:
                # What a request on a kept connection leaves at these values needs saying once.
                connection.plain = True
                exchange.flags = 0
                exchange.attempts = 1
                exchange.dns_us = exchange.connect_us = exchange.tls_us = 0
                exchange.sent_bytes = connection.head_size
        if connection.keeps:
            self._hand_over_kept(exchange, connection)
        # As _release does; a call less for each request.
        shard.remove_handle(connection.handle)
        connection.active = False
        shard.active -= 1

    def _finish_failed(self, exchange: Exchange, handle: "pycurl.Curl", curl_code: int, message: str) -> None:
        connection = exchange.transport_state
        exchange.status = 0
        exchange.received_bytes = handle.getinfo(pycurl.SIZE_DOWNLOAD_T) + handle.getinfo(pycurl.HEADER_SIZE)
        # A transfer that fails while it connects gets its remaining instants set to that of the failure: what was
        # sent and received tells how far it came, the instants do not.
        first_byte_us = handle.getinfo(pycurl.STARTTRANSFER_TIME_T) if exchange.received_bytes else 0
        exchange.error_text = message or pycurl.Curl.errstr(handle) or f"libcurl error {curl_code}"
        self._note_connection(exchange, connection, first_byte_us)
        exchange.error = error_code(
            curl_code,
            handle.getinfo(pycurl.OS_ERRNO),
            exchange.error_text,
            connected=exchange.sent_bytes > 0,
            answer_began=exchange.received_bytes > 0,
        )
        if connection.keeps:
            self._hand_over_kept(exchange, connection)
        self._release(connection)

    def _note_connection(self, exchange: Exchange, connection: _Connection, first_byte_us: int) -> None:
        """The figures of a request that opened a connection, or whose size is not known yet."""
        connection.plain = False
        getinfo = connection.handle.getinfo
        connect_end_us = getinfo(pycurl.CONNECT_TIME_T)
        tls_end_us = getinfo(pycurl.APPCONNECT_TIME_T)
        ready_us = 0
        sockets, connection.sockets = connection.sockets, 0
        exchange.dns_us = exchange.connect_us = exchange.tls_us = 0
        exchange.flags = 0
        if sockets and connect_end_us:
            dns_end_us = getinfo(pycurl.NAMELOOKUP_TIME_T)
            exchange.flags = CONNECTED
            exchange.dns_us = dns_end_us
            exchange.connect_us = max(0, connect_end_us - dns_end_us)
            exchange.tls_us = max(0, tls_end_us - connect_end_us) if tls_end_us else 0
            ready_us = max(connect_end_us, tls_end_us)
            connection.address = self._address(exchange.case, getinfo(pycurl.PRIMARY_IP))
            connection.address.connections += 1
        exchange.ttfb_us = max(0, first_byte_us - ready_us)
        exchange.sent_bytes = getinfo(pycurl.REQUEST_SIZE)  # heads and bodies, of all times that it was sent
        if exchange.sent_bytes:
            connection.address.requests += 1
        exchange.attempts = self._times_sent(connection, exchange.sent_bytes)
        if exchange.attempts > 1:
            exchange.flags |= RESENT
        elif exchange.flags == 0:
            connection.head_size = exchange.sent_bytes

    def _times_sent(self, connection: _Connection, sent_bytes: int) -> int:
        """How often libcurl sent the request: it does so again by itself when a kept connection turns out dead.

        Its count of sent bytes then holds the request twice; what one takes is known from the user's first.
        """
        request = connection.configured
        assert request is not None
        variable = (
            len(request.url) + sum(len(line) + 2 for line in request.headers) + len(request.body or b"")
        )
        if connection.overhead is None:
            if sent_bytes:
                connection.overhead = sent_bytes - variable
            return 1
        # Whole ones only: what was cut off reached nobody as a request.
        return max(1, (sent_bytes + _SIZE_SLACK) // (connection.overhead + variable))

    def _hand_over_kept(self, exchange: Exchange, connection: _Connection) -> None:
        exchange.body = b"".join(connection.body)
        exchange.headers = _parse_headers(connection.header_lines)
        connection.body = []
        connection.body_bytes = 0
        connection.header_lines = []
        connection.header_bytes = 0

    def _release(self, connection: _Connection) -> None:
        shard = connection.shard
        shard.remove_handle(connection.handle)
        connection.active = False
        shard.active -= 1

    # -- setting up -------------------------------------------------------------------------------------------

    def _open(self, exchange: Exchange) -> _Connection:
        shard = self._shards[-1] if self._shards else None
        if shard is None or shard.handles >= USERS_PER_SHARD:
            shard = self._new_shard()
        shard.handles += 1
        connection = _Connection(shard)
        self._connections.append(connection)
        handle = connection.handle
        self._exchange_of[handle] = exchange
        exchange.transport_state = connection
        for option, value in (
            (pycurl.SHARE, connection.share),
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROXY, ""),
            (pycurl.PROTOCOLS, _PROTOCOLS),
            (pycurl.USERAGENT, USER_AGENT),
            (pycurl.SOCKOPTFUNCTION, partial(self._count_socket, connection)),
            (pycurl.CLOSESOCKETFUNCTION, self._close_socket),
        ):
            handle.setopt(option, value)
        return connection

    def _new_shard(self) -> _Shard:
        shard = _Shard()
        shard.multi.setopt(pycurl.M_SOCKETFUNCTION, self._socket_callback(shard))
        shard.multi.setopt(pycurl.M_MAXCONNECTS, USERS_PER_SHARD * 4)
        self._shards.append(shard)
        return shard

    def _configure(self, connection: _Connection, request: Request) -> None:
        handle, before = connection.handle, connection.configured
        if before is None or before.settings is not request.settings:
            self._configure_settings(connection, request)
        connection.configured = request
        connection.head_size = None
        handle.setopt(pycurl.URL, request.url)
        handle.setopt(pycurl.HTTPHEADER, _header_lines(request))
        if request.body is not None:
            handle.setopt(pycurl.POSTFIELDS, request.body)
            # After POSTFIELDS, which makes it a POST.
            handle.setopt(pycurl.CUSTOMREQUEST, request.settings.method)

    def _configure_settings(self, connection: _Connection, request: Request) -> None:
        settings, handle = request.settings, connection.handle
        if settings.method == "HEAD":
            handle.setopt(pycurl.NOBODY, 1)
        elif request.body is None:
            handle.setopt(pycurl.HTTPGET, 1)
            handle.setopt(pycurl.CUSTOMREQUEST, settings.method)
        handle.setopt(pycurl.TIMEOUT_MS, max(1, round(settings.timeout_s * 1000)))
        handle.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(settings.connect_timeout_s * 1000)))
        handle.setopt(pycurl.FORBID_REUSE, 0 if settings.keepalive else 1)
        handle.setopt(pycurl.FRESH_CONNECT, 0 if settings.keepalive else 1)
        handle.setopt(pycurl.SSL_VERIFYPEER, 1 if settings.tls_verify else 0)
        handle.setopt(pycurl.SSL_VERIFYHOST, 2 if settings.tls_verify else 0)
        ca_file = str(settings.tls_ca) if settings.tls_ca else self._ca_file
        if ca_file:
            handle.setopt(pycurl.CAINFO, ca_file)
        if settings.tls_cert:
            handle.setopt(pycurl.SSLCERT, str(settings.tls_cert))
        if settings.tls_key:
            handle.setopt(pycurl.SSLKEY, str(settings.tls_key))
        connection.keeps = settings.keep_body or settings.keep_headers
        if settings.keep_body:
            handle.setopt(pycurl.WRITEFUNCTION, partial(_keep_body, connection))
        if settings.keep_headers:
            handle.setopt(pycurl.HEADERFUNCTION, partial(_keep_header, connection))

    # -- libcurl's callbacks ------------------------------------------------------------------------------------

    def _socket_callback(self, shard: _Shard) -> Callable[[int, int, object, object], None]:
        """What libcurl calls, twice a request, to say what it wants of a socket; the usual two cases first."""
        wanted, registered, owner = self._wanted, self._registered, self._owner
        remove = pycurl.POLL_REMOVE

        def want(what: int, fd: int, _multi: object, _data: object) -> None:
            if what == remove:
                wanted[fd] = _UNWANTED
            elif fd < len(wanted) and owner[fd] is shard and registered[fd] == what:
                wanted[fd] = what
            else:
                self._watch(shard, what, fd)

        return want

    def _watch(self, shard: _Shard, what: int, fd: int) -> None:
        if fd >= len(self._wanted):
            self._grow(fd)
        self._wanted[fd] = what
        self._owner[fd] = shard
        registered = self._registered[fd]
        if registered == what:
            return
        mask = _EPOLL_EVENTS[what]
        try:
            (self._poller.modify if registered else self._poller.register)(fd, mask)
        except FileNotFoundError:
            # The row was that of an earlier socket with this number, which libcurl closed without telling.
            self._poller.register(fd, mask)
        except FileExistsError:
            self._poller.modify(fd, mask)
        self._registered[fd] = what

    def _grow(self, fd: int) -> None:
        more = max(fd + 1, 2 * len(self._wanted), 256) - len(self._wanted)
        self._wanted.extend([_UNWANTED] * more)
        self._registered.extend([0] * more)
        self._owner.extend([None] * more)

    def _unregister(self, fd: int) -> None:
        self._registered[fd] = 0
        with suppress(OSError):  # closed meanwhile, which takes it out of epoll by itself
            self._poller.unregister(fd)

    def _drop_idle(self, fd: int) -> None:
        """Close the connection of a user that is idle, which the server has closed or said something on unasked.

        libcurl looks whether a kept connection still lives only when that was idle for a second. Until then it would
        send the request on the dead one and then once more, and count an attempt that no server saw.
        """
        connection = self._user_of.get(fd)
        if connection is None or connection.active or not is_readable(fd):
            return  # or the event was that it can be written, or one that was dealt with meanwhile
        self._forget(fd)
        connection.handle.unsetopt(pycurl.SHARE)
        _close_pool(connection.share)
        connection.share = _pool()
        connection.handle.setopt(pycurl.SHARE, connection.share)

    def _count_socket(self, connection: _Connection, fd: int, _purpose: int) -> int:
        connection.sockets += 1
        self._user_of[fd] = connection
        return 0

    def _close_socket(self, fd: int) -> int:
        self._forget(fd)
        os.close(fd)
        return 0

    def _forget(self, fd: int) -> None:
        self._user_of.pop(fd, None)
        if fd < len(self._wanted):
            self._registered[fd] = 0
            self._wanted[fd] = _UNWANTED
            self._owner[fd] = None


def _curl_events(ready: int) -> int:
    """epoll's events as libcurl's: readable, writable, and anything else as an error."""
    return (1 if ready & READ else 0) | (2 if ready & WRITE else 0) | (4 if ready & ~(READ | WRITE) else 0)


def _pool() -> "pycurl.CurlShare":
    share = pycurl.CurlShare()
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
    return share


def _keep_body(connection: _Connection, chunk: bytes) -> None:
    if connection.body_bytes < BODY_LIMIT:
        connection.body.append(chunk[: BODY_LIMIT - connection.body_bytes])
        connection.body_bytes += len(chunk)


def _close_pool(share: "pycurl.CurlShare") -> None:
    with warnings.catch_warnings():
        # pycurl cannot call back from a closing share: it says so and closes the sockets itself.
        warnings.simplefilter("ignore", RuntimeWarning)
        share.close()


def _keep_header(connection: _Connection, line: bytes) -> None:
    if line.startswith(b"HTTP/"):
        connection.header_lines = []  # a new answer begins: the former was 1xx
        connection.header_bytes = 0
    elif connection.header_bytes < HEADERS_LIMIT:
        connection.header_lines.append(line)
        connection.header_bytes += len(line)


def _parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Lower-case names; values of a repeated header joined by a comma."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            key, text = name.strip().lower(), value.strip()
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _header_lines(request: Request) -> list[bytes]:
    """The request's headers, and an empty one for each that libcurl would add by itself; as UTF-8, pycurl takes
    text of ASCII only."""
    given = {line.partition(":")[0].strip().lower() for line in request.headers}
    # "Name:" would tell libcurl to leave the header out, "Name;" is how it is told to send it empty.
    lines = [
        line if line.partition(":")[2].strip() else line.partition(":")[0] + ";" for line in request.headers
    ]
    suppressed = [f"{name}:" for name in ("Expect", "Content-Type") if name.lower() not in given]
    return [line.encode() for line in (*lines, *suppressed)]
