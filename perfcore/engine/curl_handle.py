"""libcurl's objects as perfcore uses them: a shard of users, one user's handle and pool, how a handle is set up.

What is not obvious:

- A user has a CurlShare of its own for its connections. In a CurlMulti's common pool fifty thinking users would
  share five connections, which no real users do.
- Without a write callback libcurl writes bodies to C stdout. A worker's descriptor 1 is /dev/null, so bodies that
  nobody looks at cost no Python call.
- A user's connection calls back into the Curl handle that opened it, so a handle outlives its pool.
"""

import os
import ssl
import warnings

import pycurl

from perfcore._version import __version__
from perfcore.engine.response_keeping import BODY_LIMIT, SAMPLE_LIMIT, KeptResponse
from perfcore.engine.transport import Request

USER_AGENT = f"perfcore/{__version__}"
FAR_NS = 1 << 62
_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
# libcurl would close a kept connection that was idle for two minutes; users may think longer.
_KEPT_S = 1 << 30


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
        self.users = 0
        self.deadline_ns = FAR_NS
        self.touched = False

    def close(self) -> None:
        with warnings.catch_warnings():
            # pycurl cannot call back from a closing multi: it says so and closes the sockets itself.
            warnings.simplefilter("ignore", RuntimeWarning)
            self.multi.close()


class Address:
    """A server's address of one test: connections opened to it and requests that were sent there."""

    __slots__ = ("connections", "requests")

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0


class User:
    """The transport's side of a virtual user: its Curl handle, its pool, what is known of its connection."""

    __slots__ = (
        "active",
        "address",
        "closed",
        "configured",
        "fd",
        "getinfo",
        "handle",
        "head_size",
        "keeps",
        "kept",
        "open_sockets",
        "overhead",
        "plain",
        "shard",
        "share",
        "sockets",
    )

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.handle = pycurl.Curl()
        self.getinfo = self.handle.getinfo_raw  # getinfo looks whether the number is text to decode
        self.share = _pool()
        self.configured: Request | None = None
        self.active = False
        self.address = Address()  # whom it is connected to; nobody as yet
        self.fd = -1  # of the socket opened last
        self.open_sockets = 0
        self.sockets = 0  # opened and closed during the request under way
        self.closed = 0
        self.overhead: int | None = None  # bytes of a request that neither URL, headers nor body decide
        self.plain = False  # the last request found its connection kept and its size known
        self.head_size: int | None = None  # of a request configured once and sent again and again
        self.keeps = False  # somebody looks at bodies or headers
        self.kept = KeptResponse()
        for option, value in (
            (pycurl.SHARE, self.share),
            (pycurl.NOSIGNAL, 1),
            (pycurl.PROXY, ""),
            (pycurl.PROTOCOLS, _PROTOCOLS),
            (pycurl.USERAGENT, USER_AGENT),
            (pycurl.MAXAGE_CONN, _KEPT_S),
        ):
            self.handle.setopt(option, value)

    def configure(self, request: Request, ca_file: str | None) -> None:
        """Make the handle send this request from now on."""
        handle, before = self.handle, self.configured
        if before is None or before.settings is not request.settings:
            self._configure_settings(request, ca_file)
            # The first answer of every user is kept as a sample of a failure, should it be one.
            self.keep_next()
        self.configured = request
        self.head_size = None
        handle.setopt(pycurl.URL, request.url)
        handle.setopt(pycurl.HTTPHEADER, header_lines(request))
        if request.body is not None:
            handle.setopt(pycurl.POSTFIELDS, request.body)
            # After POSTFIELDS, which makes it a POST.
            handle.setopt(pycurl.CUSTOMREQUEST, request.settings.method)

    def _configure_settings(self, request: Request, ca_file: str | None) -> None:
        settings, handle = request.settings, self.handle
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
        ca = str(settings.tls_ca) if settings.tls_ca else ca_file
        if ca:
            handle.setopt(pycurl.CAINFO, ca)
        if settings.tls_cert:
            handle.setopt(pycurl.SSLCERT, str(settings.tls_cert))
        if settings.tls_key:
            handle.setopt(pycurl.SSLKEY, str(settings.tls_key))
        self.kept.body_limit = BODY_LIMIT if settings.keep_body else SAMPLE_LIMIT

    def keep_next(self) -> None:
        """Keep the next answer, for whoever wants to look at it."""
        if not self.keeps:
            self.keeps = True
            self.handle.setopt(pycurl.WRITEFUNCTION, self.kept.add_body)
            self.handle.setopt(pycurl.HEADERFUNCTION, self.kept.add_header)

    def keep_only_what_is_asked_for(self) -> None:
        """Stop keeping answers but for the settings' sake: bodies go to C stdout again, without a Python call."""
        settings = self.configured.settings if self.configured is not None else None
        if settings is None or (settings.keep_body and settings.keep_headers):
            return
        if not settings.keep_body:
            self.handle.unsetopt(pycurl.WRITEFUNCTION)
        if not settings.keep_headers:
            self.handle.unsetopt(pycurl.HEADERFUNCTION)
        self.keeps = settings.keep_body or settings.keep_headers

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


def _pool() -> "pycurl.CurlShare":
    share = pycurl.CurlShare()
    share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
    return share


def _close_pool(share: "pycurl.CurlShare") -> None:
    with warnings.catch_warnings():
        # pycurl cannot call back from a closing share: it says so and closes the sockets itself.
        warnings.simplefilter("ignore", RuntimeWarning)
        share.close()


def header_lines(request: Request) -> list[bytes]:
    """The request's headers, and an empty one for each that libcurl would add by itself.

    As UTF-8: of text pycurl takes ASCII only.
    """
    given = {line.partition(":")[0].strip().lower() for line in request.headers}
    # "Name:" would tell libcurl to leave the header out, "Name;" is how it is told to send it empty.
    lines = [
        line if line.partition(":")[2].strip() else line.partition(":")[0] + ";" for line in request.headers
    ]
    suppressed = [f"{name}:" for name in ("Expect", "Content-Type") if name.lower() not in given]
    return [line.encode("utf-8", "surrogateescape") for line in (*lines, *suppressed)]
