"""A request as bytes on an HTTP/1.1 connection, the very bytes that a libcurl transfer would send.

The tests compare both, byte for byte; what only libcurl can say (rounds of authentication, a body of unknown length)
is none of this file's: see engine/engine_choice.py.
"""

import re
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from socket import AF_INET6, inet_ntop, inet_pton
from urllib.parse import SplitResult, urlsplit

from perfcore.engine.curl_options import ACCEPT_ENCODING, USER_AGENT
from perfcore.engine.request_text import header_name
from perfcore.engine.transport import Request
from perfcore.engine.upload import Upload

_AUTHORITY_END = re.compile(r"[/?#]")
_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_NO_HEADERS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WireRequest:
    """`before` and `after` are the head up to and from the place of a Cookie header of the user's jar.

    `given_cookies` is the value of the suite's own one; `body` is None where it is sent with the head, within `after`.
    """

    before: bytes
    after: bytes
    given_cookies: bytes
    body: Upload | None
    host: str
    path: str
    is_secure: bool

    def whole(self, cookies: bytes) -> bytes:
        """Head and body, with this Cookie header: what a user's jar says and the suite has given."""
        if not cookies:
            return self.before + self.after
        return b"%bCookie: %b\r\n%b" % (self.before, cookies, self.after)


def wire_request(request: Request) -> WireRequest:
    """The request's bytes, but for what a user's cookies add."""
    if request.base is not None:
        return _with_first_header(request.base, request.headers[0])
    settings, body = request.settings, request.body
    parts = urlsplit(request.url)
    given = {header_name(line) for line in request.headers} if request.headers else _NO_HEADERS
    target = request_target(parts.path, request.url)
    own, connection = apart(request.headers, "connection")
    own, hosts = apart(own, "host")
    cookies: list[str] = []
    if settings.cookies and "cookie" in given:
        own, lines = apart(own, "cookie")
        cookies = [line.partition(":")[2].strip() for line in lines]
    if connection:
        connection[0] = f"Connection: {connection[0].partition(':')[2].strip()}"
    if hosts:
        hosts = [f"Host:{hosts[0].partition(':')[2]}"]
    start = f"{settings.method} {target} HTTP/1.1\r\n".encode()
    before = start + b"".join(map(header_bytes, [*hosts, *head_lines(request, parts, given)]))
    after = b"".join(map(header_bytes, own))
    has_body = body is not None and settings.method != "HEAD"
    if has_body and "content-length" not in given:
        after += b"Content-Length: %d\r\n" % len(body or b"")
    after += b"".join(map(header_bytes, connection)) + b"\r\n"
    if has_body and isinstance(body, bytes):
        after += body
    return WireRequest(
        before,
        after,
        "; ".join(cookies).encode("utf-8", "surrogateescape"),
        body if has_body and isinstance(body, Upload) else None,
        _name_of(hosts[0]) if hosts else parts.hostname or "",
        target.partition("?")[0],
        parts.scheme == "https",
    )


def _with_first_header(base: Request, line: str) -> WireRequest:
    """`base` with one more header; what it is but for that is made once and kept with it."""
    known: WireRequest | None = base.prepared
    if known is None:
        known = base.prepared = wire_request(base)
    after = header_bytes(line) + known.after
    return WireRequest(
        known.before, after, known.given_cookies, known.body, known.host, known.path, known.is_secure
    )


def head_lines(request: Request, parts: SplitResult, given: Collection[str]) -> list[str]:
    """The headers that stand before the suite's own, but for those that it has given (lower-case names)."""
    lines = [] if "host" in given else [f"Host: {_host(parts.netloc, parts.scheme)}"]
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "accept" not in given:
        lines.append("Accept: */*")
    if request.settings.compressed and "accept-encoding" not in given:
        lines.append(f"Accept-Encoding: {ACCEPT_ENCODING}")
    return lines


def header_bytes(line: str) -> bytes:
    """A header with its line end, and `Name:` for one without a value, as libcurl sends it."""
    name, _, value = line.partition(":")
    return (f"{line}\r\n" if value.strip() else f"{name}:\r\n").encode("utf-8", "surrogateescape")


def apart(lines: list[str], name: str) -> tuple[list[str], list[str]]:
    """The lines of other headers, and those of this one, its name in lower case."""
    if all(header_name(line) != name for line in lines):
        return lines, []
    return [line for line in lines if header_name(line) != name], [
        line for line in lines if header_name(line) == name
    ]


def request_target(path: str, url: str) -> str:
    """Path and query as libcurl sends them: dot segments taken out, escapes of the path in capitals."""
    rest = url.partition("#")[0].partition("://")[2]
    # By hand: urlsplit forgets a question mark that nothing follows.
    query = rest[rest.index("?") :] if "?" in rest else ""
    if "%" in path:
        path = _ESCAPE.sub(lambda escape: escape[0].upper(), path)
    if "/." in path or "/%2E" in path:
        path = _without_dots(path)
    return f"{path or '/'}{query}"


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4, for a path that begins with a slash; a dot may be an escape."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for at, segment in enumerate(segments):
        is_last = at == len(segments) - 1
        dots = segment.replace("%2E", ".")
        if dots in (".", ".."):
            if dots == ".." and kept:
                kept.pop()
            if is_last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def place_of(url: str) -> str:
    """Scheme and authority: the URL up to its path."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + _AUTHORITY_END.split(rest, maxsplit=1)[0]


def _name_of(host_line: str) -> str:
    """The name in a Host header, which cookies are of."""
    with suppress(ValueError):  # brackets that do not fit: no name at all
        return urlsplit("//" + host_line.partition(":")[2].strip()).hostname or ""
    return ""


def _host(netloc: str, scheme: str) -> str:
    """As the Host header has it: no port that is the scheme's own, an IPv6 address in its shortest form."""
    place = netloc.rpartition("@")[2]
    host, port = place, ""
    if not place.endswith("]") and ":" in place:
        host, _, port = place.rpartition(":")
    if host.startswith("["):
        with suppress(OSError, ValueError):  # libcurl will say that it is none
            host = f"[{inet_ntop(AF_INET6, inet_pton(AF_INET6, host[1:-1]))}]"
    if not port.isdigit() or int(port) == _DEFAULT_PORTS.get(scheme):
        return host
    return f"{host}:{int(port)}"
