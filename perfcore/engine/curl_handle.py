"""libcurl's objects as perfcore uses them: a shard of users, one user's handle and pool.

What is not obvious:

- A user has a CurlShare of its own for its connections. In a CurlMulti's common pool fifty thinking users would
  share five connections, which no real users do.
- Without a write callback libcurl writes bodies to C stdout. A worker's descriptor 1 is /dev/null, so bodies that
  nobody looks at cost no Python call.
- A user's connection calls back into the Curl handle that opened it, so a handle outlives its pool.
"""

import errno
import os
import warnings
from collections.abc import Callable, Iterable

import pycurl

from perfcore.engine.address_choice import AddressChoice
from perfcore.engine.attempts import Attempts
from perfcore.engine.connection_counts import Address
from perfcore.engine.cookie_jar import MOST_COOKIES
from perfcore.engine.curl_options import (
    header_lines,
    set_addresses,
    set_headers,
    set_local_address,
    set_method,
    set_refused_head,
    set_settings,
    set_texts,
)
from perfcore.engine.cycle import Cycle
from perfcore.engine.response_keeping import BODY_LIMIT, SAMPLE_LIMIT, KeptResponse
from perfcore.engine.transport import Request, RequestSettings
from perfcore.engine.upload import Upload
from perfcore.metrics.trace_ids import TraceIds

FAR_NS = 1 << 62
_MULTI_OUT_OF_MEMORY = 3  # CURLM_OUT_OF_MEMORY (curl/multi.h)
TIMEOUT_SOCKET = pycurl.SOCKET_TIMEOUT
REFUSED = pycurl.E_BAD_FUNCTION_ARGUMENT
_HTTPHEADER = pycurl.HTTPHEADER


def versions() -> dict[str, str]:
    """The libraries that carry the requests, for the environment block."""
    info = pycurl.version_info()
    return {"libcurl": info[1], "pycurl": pycurl.version.split()[0].split("/")[1], "tls": info[5].strip()}


def default_ca_file() -> str | None:
    """The system's certificate bundle: SSL_CERT_FILE, else where the distributions keep it, else where Python looks."""
    known = (
        os.environ.get("SSL_CERT_FILE"),
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    )
    found = next((path for path in known if path and os.path.isfile(path)), None)
    if found is None:
        import ssl  # 10 ms of every start, for the few systems that need it

        found = ssl.get_default_verify_paths().cafile
    return found


class Shard:
    """A CurlMulti, how many transfers it has under way, and when libcurl wants to be called for them.

    Its methods are kept bound: looking one up on a pycurl object costs as much as a small call.
    """

    __slots__ = (
        "act",
        "active",
        "add_handle",
        "deadline_ns",
        "info_read",
        "multi",
        "remove_handle",
        "running",
        "timeout",
        "touched",
        "users",
    )

    def __init__(self) -> None:
        self.multi = pycurl.CurlMulti()
        self.act = self.multi.socket_action
        self.add_handle = self.multi.add_handle
        self.remove_handle = self.multi.remove_handle
        self.info_read = self.multi.info_read
        self.timeout = self.multi.timeout
        self.active = 0
        self.running = 0  # by libcurl's last word; fewer than `active`: some have ended
        self.users = 0
        self.deadline_ns = FAR_NS
        self.touched = False

    def close(self) -> None:
        with warnings.catch_warnings():
            # pycurl cannot call back from a closing multi: it says so and closes the sockets itself.
            warnings.simplefilter("ignore", RuntimeWarning)
            self.multi.close()


class User:
    """The transport's side of a virtual user: its Curl handle, its pool, what is known of its connection."""

    __slots__ = (
        "_callbacks",
        "_keeps_all",
        "_read_bytes",
        "_requests",
        "active",
        "address",
        "addresses",
        "attempts",
        "chosen",
        "closed",
        "configured",
        "cycle",
        "fd",
        "getinfo",
        "handle",
        "head_size",
        "is_framed",
        "keeps",
        "kept",
        "number",
        "open_sockets",
        "overhead",
        "plain",
        "ready_for",
        "rest",
        "shard",
        "share",
        "sockets",
        "stood_at",
        "takes_more",
        "traces",
        "untraced_lines",
    )

    def __init__(self, shard: Shard, number: int, callbacks: "Callbacks") -> None:
        self.shard = shard
        self.number = number
        self._callbacks = callbacks
        self._read_bytes = 0  # of an Upload that is being sent
        self._requests = 0  # of a user with cookies
        self.handle = pycurl.Curl()
        self.getinfo = self.handle.getinfo_raw  # getinfo looks whether the number is text to decode
        self.share = _pool()
        self.configured: Request | None = None
        self.ready_for: Request | None = None  # what can be sent again without another thought
        self.active = False
        self.cycle: Cycle | None = None  # in which it goes on by itself
        self.rest = b""  # of a plain row
        self.address = Address()  # whom it is connected to; nobody as yet
        self.addresses: AddressChoice | None = None  # which of several the next connection goes to
        self.chosen: dict[str, str] = {}  # by host
        self.attempts: Attempts | None = None  # None: the bytes sent tell
        self.takes_more = False  # one of these two
        self.traces: TraceIds | None = None  # of a cycle in which each request has an id of its own
        self.untraced_lines: list[bytes] = []
        self.is_framed = False  # the connection speaks HTTP/2 or 3, unasked too
        self.stood_at: str | None = None  # where to a connection was made beforehand, until it is counted
        self.fd = -1  # of the socket opened last
        self.open_sockets = 0
        self.sockets = 0  # opened and closed during the request under way
        self.closed = 0
        self.overhead: int | None = None  # bytes of a request that neither URL, headers nor body decide
        self.plain = False  # the last request found its connection kept and its size known
        self.head_size: int | None = None  # of a request configured once and sent again and again
        self._keeps_all = False  # body and headers, of whatever comes next
        self.keeps = False  # somebody looks at bodies or headers
        self.kept = KeptResponse()
        self.handle.setopt(pycurl.SHARE, self.share)

    def configure(self, request: Request, ca_file: str | None) -> None:
        """Make the handle send this request from now on."""
        before = self.configured
        self.configured = request
        if before is not None and request.base is not None and before.base is request.base:
            set_headers(self.handle, request)
            return
        self.head_size = None
        self.rest = b""
        self.plain = False
        if before is None or before.settings is not request.settings:
            self._configure_settings(request, ca_file)
            if before is None:
                # The first answer of every user is kept as a sample of a failure, should it be one.
                self.keep_next()
        set_texts(self.handle, request)

    def trace_cycle(self, trace_ids: TraceIds, base: Request) -> None:
        """From now on `trace_next` may be called: requests that differ from `base` by the header of their ids."""
        if self.traces is None:
            self.traces = trace_ids
            self.untraced_lines = header_lines(base.headers)

    def trace_next(self, due_ns: int) -> None:
        """Put the header of this request into the place of the last one's."""
        assert self.traces is not None
        line = self.traces.header(self.number, due_ns)
        self.handle.setopt(_HTTPHEADER, [line.encode(), *self.untraced_lines])

    def begin_to_connect(self, request: Request, ca_file: str | None, timeout_s: float) -> bool:
        """Let the fresh handle connect as this request would, and end with REFUSED before it sends anything.

        False when libcurl does not even begin, as it will not with the request itself.
        """
        settings, handle = request.settings, self.handle
        try:
            self._configure_way(settings, ca_file)
            handle.setopt(pycurl.URL, request.url)
            handle.setopt(pycurl.TIMEOUT_MS, max(1, round(timeout_s * 1000)))
            set_refused_head(handle, request)
            self.shard.add_handle(handle)
        except (pycurl.error, UnicodeError) as error:
            if is_out_of_memory(error):
                raise
            return False
        return True

    def end_to_connect(self) -> bool:
        """Note the connection that was made; whether there is one."""
        # Of two addresses that were tried together the one that answered need not be the last.
        self.fd = self.handle.getinfo(pycurl.ACTIVESOCKET)
        self.stood_at = bytes(self.getinfo(pycurl.PRIMARY_IP)).decode("utf-8", "replace")
        self.shard.remove_handle(self.handle)
        self.sockets = self.closed = 0
        return self.open_sockets > 0 and self.fd >= 0

    def rewind(self) -> None:
        """An Upload is about to be sent from its beginning."""
        self._read_bytes = 0

    def empty_full_jar(self) -> bool:
        """Whether the jar held more than MOST_COOKIES and is empty now; looked at with every tenth request.

        A server that sets new ones with each answer would fill the memory, and slow down every request.
        """
        self._requests += 1
        if self._requests % 10 or len(self.handle.getinfo(pycurl.INFO_COOKIELIST)) <= MOST_COOKIES:
            return False
        self.handle.setopt(pycurl.COOKIELIST, "ALL")
        return True

    def _configure_settings(self, request: Request, ca_file: str | None) -> None:
        settings, handle = request.settings, self.handle
        handle.reset()  # but for the share
        self._configure_way(settings, ca_file)
        set_method(handle, request, self._read_body, self._seek_body)
        self.kept.body_limit = BODY_LIMIT if settings.keep_body else SAMPLE_LIMIT
        if self.attempts is not None:
            handle.setopt(pycurl.PREREQFUNCTION, self.attempts.about_to_send)
        was_kept, self._keeps_all = self._keeps_all, False
        if was_kept or settings.keep_body or settings.keep_headers:
            self.keep_next()
        elif self._counts_answers:
            handle.setopt(pycurl.HEADERFUNCTION, self.kept.add_header)

    def _configure_way(self, settings: RequestSettings, ca_file: str | None) -> None:
        """All that makes a connection one that the request can go on."""
        handle = self.handle
        for option, call in self._callbacks(self):
            handle.setopt(option, call)
        set_settings(handle, settings, ca_file)
        if self.chosen:
            set_addresses(handle, {**settings.resolve, **self.chosen})
        local = local_address(settings, self.number)
        if local:
            set_local_address(handle, local)

    @property
    def _counts_answers(self) -> bool:
        return self.attempts is not None and self.attempts.takes_rounds

    def _read_body(self, size: int) -> bytes | int:
        """libcurl's call for the next part of an Upload."""
        body = self.configured.body if self.configured is not None else None
        assert isinstance(body, Upload)
        part = body.read_at(self._read_bytes, size)
        if not part and self._read_bytes < len(body):
            return int(pycurl.READFUNC_ABORT)  # the file has become shorter than what was announced
        self._read_bytes += len(part)
        return part

    def _seek_body(self, offset: int, _origin: int) -> int:
        """libcurl's call when it sends an Upload again."""
        self._read_bytes = offset
        return int(pycurl.SEEKFUNC_OK)

    def keep_next(self) -> None:
        """Keep the next answer, for whoever wants to look at it."""
        if not self._keeps_all:
            self.keeps = self._keeps_all = True
            self.kept.take()  # where answers are counted, the lines of the last one are still there
            self.handle.setopt(pycurl.WRITEFUNCTION, self.kept.add_body)
            self.handle.setopt(pycurl.HEADERFUNCTION, self.kept.add_header)

    def keep_only_what_is_asked_for(self) -> None:
        """Stop keeping answers but for the settings' sake: bodies go to C stdout again, without a Python call."""
        settings = self.configured.settings if self.configured is not None else None
        if settings is None or (settings.keep_body and settings.keep_headers):
            return
        if not settings.keep_body:
            self.handle.unsetopt(pycurl.WRITEFUNCTION)
        if not settings.keep_headers and not self._counts_answers:
            self.handle.unsetopt(pycurl.HEADERFUNCTION)
        self.keeps = settings.keep_body or settings.keep_headers
        self._keeps_all = False

    def drop_connection(self) -> None:
        """Close the kept connection; the next request opens a new one."""
        self.handle.unsetopt(pycurl.SHARE)
        _close_pool(self.share)
        self.share = _pool()
        self.handle.setopt(pycurl.SHARE, self.share)

    def close_connections(self) -> None:
        """The first half of the end; `handle` is closed once no pool can call it any more."""
        self.handle.unsetopt(pycurl.SHARE)
        _close_pool(self.share)


# The callbacks of a user's handle, by option: set again whenever the handle was reset.
Callbacks = Callable[[User], Iterable[tuple[int, Callable[..., object]]]]


def local_address(settings: RequestSettings, user: int) -> str:
    """Where the user's connections come from; empty where the suite says nothing."""
    addresses = settings.local_addresses
    return addresses[(user - 1) % len(addresses)] if addresses else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this was raised because the process gets no more memory; pycurl says so in words where it has no code."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, pycurl.error):
        code, text = error.args[0], str(error.args[-1])
        if text.startswith("multi_"):  # a CurlMulti's codes are others
            return bool(code == _MULTI_OUT_OF_MEMORY)
        return bool(code == pycurl.E_OUT_OF_MEMORY) or text.startswith("initializing curl")
    return isinstance(error, MemoryError)


def _pool() -> "pycurl.CurlShare":
    share = pycurl.CurlShare()
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
    return share


def _close_pool(share: "pycurl.CurlShare") -> None:
    with warnings.catch_warnings():
        # pycurl cannot call back from a closing share: it says so and closes the sockets itself.
        warnings.simplefilter("ignore", RuntimeWarning)
        share.close()
