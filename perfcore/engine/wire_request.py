"""A request as bytes on an HTTP/1.1 connection, the very bytes that a libcurl transfer would send.

The tests compare both, byte for byte; what only libcurl can say (rounds of authentication, a body of unknown length)
is none of this file's: see engine/engine_choice.py.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from perfcore.engine.curl_options import ACCEPT_ENCODING, USER_AGENT
from perfcore.engine.request_text import header_name
from perfcore.engine.transport import Request
from perfcore.engine.upload import Upload

_ESCAPE = re.compile(r"%[0-9a-fA-F]{2}")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
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
    settings, body = request.settings, request.body
    parts = urlsplit(request.url)
    given = {header_name(line) for line in request.headers} if request.headers else _NO_HEADERS
    target = request_target(parts.path, request.url)
    own, cookies = request.headers, []
    if settings.cookies and "cookie" in given:
        cookies = [line.partition(":")[2].strip() for line in own if header_name(line) == "cookie"]
        own = [line for line in own if header_name(line) != "cookie"]
    hosts = [line for line in own if header_name(line) == "host"]
    if hosts:
        own = [line for line in own if header_name(line) != "host"]
    start = f"{settings.method} {target} HTTP/1.1\r\n".encode()
    before = start + b"".join(map(header_bytes, [*hosts, *head_lines(request, parts, given)]))
    after = b"".join(map(header_bytes, own))
    has_body = body is not None and settings.method != "HEAD"
    if has_body and "content-length" not in given:
        after += b"Content-Length: %d\r\n" % len(body or b"")
    after += b"\r\n"
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


def head_lines(request: Request, parts: SplitResult, given: Collection[str]) -> list[str]:
    """The headers that stand before the suite's own, but for those that it has given (lower-case names)."""
    lines = [] if "host" in given else [f"Host: {_host(parts.netloc, parts.scheme)}"]
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if "accept" not in given:
        lines.append("Accept: */*")
    if request.settings.compressed:
        lines.append(f"Accept-Encoding: {ACCEPT_ENCODING}")
    return lines


def header_bytes(line: str) -> bytes:
    """A header with its line end, and `Name:` for one without a value, as libcurl sends it."""
    name, _, value = line.partition(":")
    value = value.strip()
    return (f"{name}: {value}\r\n" if value else f"{name}:\r\n").encode("utf-8", "surrogateescape")


def request_target(path: str, url: str) -> str:
    """Path and query as libcurl sends them: dot segments taken out, escapes of the path in capitals."""
    rest = url.partition("#")[0].partition("://")[2]
    # By hand: urlsplit forgets a question mark that nothing follows.
    query = rest[rest.index("?") :] if "?" in rest else ""
    if "%" in path:
        path = _ESCAPE.sub(lambda escape: escape[0].upper(), path)
    if "/." in path:
        path = _without_dots(path)
    return f"{path or '/'}{query}"


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4, for a path that begins with a slash."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for at, segment in enumerate(segments):
        is_last = at == len(segments) - 1
        if segment in (".", ".."):
            if segment == ".." and kept:
                kept.pop()
            if is_last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def _name_of(host_line: str) -> str:
    """The name in a Host header, which cookies are of."""
    return urlsplit("//" + host_line.partition(":")[2].strip()).hostname or ""


def _host(netloc: str, scheme: str) -> str:
    place = netloc.rpartition("@")[2]
    default = _DEFAULT_PORTS.get(scheme, "")
    return place.removesuffix(default) if default and not place.endswith("]") else place
