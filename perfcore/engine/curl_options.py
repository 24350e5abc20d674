"""How a Curl handle is told what a request asks for: its settings once, on a handle that was reset; then its texts.

A handle is reset before other settings are put on it, since several options of libcurl cannot be taken back one by one.
Connections, cookies and addresses that it knows survive that.
"""

from collections.abc import Callable, Mapping

import pycurl

from perfcore._version import __version__
from perfcore.engine.request_text import header_name
from perfcore.engine.transport import Request, RequestSettings
from perfcore.engine.upload import Upload

USER_AGENT = f"perfcore/{__version__}"
_CODINGS = (("deflate, gzip", 1 << 3), ("br", 1 << 23), ("zstd", 1 << 26))  # CURL_VERSION_LIBZ, BROTLI, ZSTD
# What libcurl says when it is asked for all codings that it can undo.
ACCEPT_ENCODING = ", ".join(name for name, bit in _CODINGS if pycurl.version_info()[4] & bit)
_PROTOCOLS = pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS
# libcurl would close a kept connection that was idle for two minutes; users may think longer.
_KEPT_S = 1 << 30
# CURLOPT_SUPPRESS_CONNECT_HEADERS, which pycurl does not name: a proxy's answer is none of the server's.
_SUPPRESS_CONNECT_HEADERS = 265
_BEYOND_ANY_CALENDAR_S = 1 << 62  # its year is more than a C int
_UPLOAD_BUFFER_BYTES = 262_144
_HTTP_VERSIONS = {
    "auto": pycurl.CURL_HTTP_VERSION_2TLS,
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2_0,
    "2-prior-knowledge": pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
    # Nothing else: a suite that asks for HTTP/3 is not to measure another one.
    "3": pycurl.CURL_HTTP_VERSION_3ONLY,
}
# Of the numbers with which libcurl says what was spoken.
HTTP_VERSION_NAMES = {1: "1.0", 2: "1.1", 3: "2", 30: "3"}
# From here on a connection carries frames, and speaks without being asked.
FIRST_FRAMED_VERSION = pycurl.CURL_HTTP_VERSION_2_0
_AUTH_SCHEMES = {
    "digest": pycurl.HTTPAUTH_DIGEST,
    "ntlm": pycurl.HTTPAUTH_NTLM,
    "negotiate": pycurl.HTTPAUTH_NEGOTIATE,
}


def set_settings(handle: "pycurl.Curl", settings: RequestSettings, ca_file: str | None) -> None:
    """Everything that is the same for all requests of a step but for the method, which goes with the body."""
    handle.setopt(pycurl.NOSIGNAL, 1)
    handle.setopt(pycurl.PROTOCOLS, _PROTOCOLS)
    handle.setopt(pycurl.USERAGENT, USER_AGENT)
    handle.setopt(pycurl.MAXAGE_CONN, _KEPT_S)
    handle.setopt(pycurl.TIMEOUT_MS, max(1, round(settings.timeout_s * 1000)))
    handle.setopt(pycurl.CONNECTTIMEOUT_MS, max(1, round(settings.connect_timeout_s * 1000)))
    handle.setopt(pycurl.FORBID_REUSE, 0 if settings.keepalive else 1)
    handle.setopt(pycurl.FRESH_CONNECT, 0 if settings.keepalive else 1)
    handle.setopt(pycurl.HTTP_VERSION, _HTTP_VERSIONS[settings.http_version])
    _set_tls(handle, settings, ca_file)
    _set_way(handle, settings)
    if settings.compressed:
        handle.setopt(pycurl.ACCEPT_ENCODING, "")  # all that libcurl can decode
    if settings.cookies:
        handle.setopt(pycurl.COOKIEFILE, "")  # no file, but a jar
    if settings.auth_scheme == "aws_sigv4":
        handle.setopt(pycurl.AWS_SIGV4, f"aws:amz:{settings.aws_scope}")
    elif settings.auth_scheme:
        handle.setopt(pycurl.HTTPAUTH, _AUTH_SCHEMES[settings.auth_scheme])


def _set_tls(handle: "pycurl.Curl", settings: RequestSettings, ca_file: str | None) -> None:
    handle.setopt(pycurl.SSL_VERIFYPEER, 1 if settings.tls_verify else 0)
    handle.setopt(pycurl.SSL_VERIFYHOST, 2 if settings.tls_verify else 0)
    ca = str(settings.tls_ca) if settings.tls_ca else ca_file
    if ca:
        handle.setopt(pycurl.CAINFO, ca)
    if settings.tls_cert:
        handle.setopt(pycurl.SSLCERT, str(settings.tls_cert))
    if settings.tls_key:
        handle.setopt(pycurl.SSLKEY, str(settings.tls_key))


def _set_way(handle: "pycurl.Curl", settings: RequestSettings) -> None:
    """How the server is reached: proxy, addresses in place of names, a socket of this machine."""
    # An empty proxy means none; left unset, libcurl would look into the environment for both, at each request.
    handle.setopt(pycurl.PROXY, settings.proxy)
    handle.setopt(pycurl.NOPROXY, "")
    if settings.proxy:
        handle.setopt(_SUPPRESS_CONNECT_HEADERS, 1)
        if settings.tls_ca:
            handle.setopt(pycurl.PROXY_CAINFO, str(settings.tls_ca))
    if settings.unix_socket:
        handle.setopt(pycurl.UNIX_SOCKET_PATH, settings.unix_socket)
    if settings.resolve:
        set_addresses(handle, settings.resolve)


def set_addresses(handle: "pycurl.Curl", addresses: Mapping[str, str]) -> None:
    """Connect to these addresses (by host name) in place of what the names resolve to."""
    lines = []
    for host, address in addresses.items():
        bracketed = f"[{address}]" if ":" in address else address
        lines.append(f"{host}::{bracketed}:")
    handle.setopt(pycurl.CONNECT_TO, lines)


def set_local_address(handle: "pycurl.Curl", address: str) -> None:
    """Connect from this address of this machine."""
    handle.setopt(pycurl.INTERFACE, f"host!{address}")


def set_refused_head(handle: "pycurl.Curl", request: Request) -> None:
    """Let libcurl connect as for any request, and fail with E_BAD_FUNCTION_ARGUMENT before it sends a byte of one.

    An instant that no calendar holds is noticed while the head is made. A connection for Negotiate is that of one
    user and password only, so they are the request's.
    """
    settings = request.settings
    if settings.http_version == "2" and request.url.lower().startswith("http:"):
        # The offer to go on in HTTP/2 is the request's own; a connection on which it was made is not kept.
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    handle.setopt(pycurl.TIMECONDITION, pycurl.TIMECONDITION_IFMODSINCE)
    handle.setopt(pycurl.TIMEVALUE, _BEYOND_ANY_CALENDAR_S)
    if settings.auth_scheme and request.credentials is not None:
        user, password = request.credentials
        handle.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_BASIC)  # no round is begun
        handle.setopt(pycurl.USERNAME, user.encode())
        handle.setopt(pycurl.PASSWORD, password.encode())


def set_method(
    handle: "pycurl.Curl",
    request: Request,
    read: Callable[[int], bytes | int],
    seek: Callable[[int, int], int],
) -> None:
    """The method, and how a body comes; `read` and `seek` are called for one that is not held in memory."""
    method, body = request.settings.method, request.body
    if method == "HEAD":
        handle.setopt(pycurl.NOBODY, 1)
    if isinstance(body, Upload):
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.READFUNCTION, read)
        handle.setopt(pycurl.SEEKFUNCTION, seek)
        handle.setopt(pycurl.UPLOAD_BUFFERSIZE, _UPLOAD_BUFFER_BYTES)
    handle.setopt(pycurl.CUSTOMREQUEST, method)


def set_texts(handle: "pycurl.Curl", request: Request) -> None:
    """What may differ from one request of a step to the next."""
    handle.setopt(pycurl.URL, request.url)
    settings, body = request.settings, request.body
    if isinstance(body, Upload):
        handle.setopt(pycurl.POSTFIELDSIZE_LARGE, len(body))
    elif body is not None:
        handle.setopt(pycurl.POSTFIELDS, body)
        handle.setopt(pycurl.CUSTOMREQUEST, settings.method)  # POSTFIELDS makes it a POST
    set_headers(handle, request)
    if settings.auth_scheme and request.credentials is not None:
        user, password = request.credentials
        handle.setopt(pycurl.USERNAME, user.encode())
        handle.setopt(pycurl.PASSWORD, password.encode())


def set_headers(handle: "pycurl.Curl", request: Request) -> None:
    """The request's own headers, and none of those that libcurl would add by itself."""
    headers = request.headers
    if request.settings.cookies:
        # libcurl puts these and what its jar has for the URL into one header; a line of ours would stand beside it.
        given = [line for line in headers if header_name(line) == "cookie"]
        headers = [line for line in headers if header_name(line) != "cookie"]
        if given:
            handle.setopt(pycurl.COOKIE, "; ".join(line.partition(":")[2].strip() for line in given).encode())
        else:
            handle.unsetopt(pycurl.COOKIE)
    handle.setopt(pycurl.HTTPHEADER, header_lines(headers))


def header_lines(headers: list[str]) -> list[bytes]:
    """The request's headers, and an empty one for each that libcurl would add by itself.

    As UTF-8: of text pycurl takes ASCII only.
    """
    given = {header_name(line) for line in headers}
    # "Name:" would tell libcurl to leave the header out, "Name;" is how it is told to send it empty.
    lines = [line if line.partition(":")[2].strip() else line.partition(":")[0] + ";" for line in headers]
    suppressed = [f"{name}:" for name in ("Expect", "Content-Type") if name.lower() not in given]
    return [line.encode("utf-8", "surrogateescape") for line in (*lines, *suppressed)]
