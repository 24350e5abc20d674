"""What is asked next when an answer points elsewhere (RFC 9110, section 15.4; the Fetch standard where it leaves room).

libcurl could follow by itself, but would carry an API key's header to any host that a server names. Here nothing
that announces a secret leaves the origin it was meant for, and each hop is an attempt that is counted.
"""

from dataclasses import replace
from urllib.parse import urlsplit

from perfcore.engine.request_text import header_name, sendable
from perfcore.engine.transport import Request
from perfcore.suite.secret_names import looks_secret

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BECOMES_GET = frozenset({301, 302})
_ABOUT_THE_BODY = frozenset(
    {"content-type", "content-encoding", "content-language", "content-location", "content-length"}
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def can_be_followed(url: str) -> bool:
    """Whether the place is of HTTP: a server must not be able to have files or mail servers asked."""
    return url.lower().startswith(("http://", "https://"))


def sendable_place(url: str) -> str | None:
    """What a server named, in the form in which it can be asked for; None for what is no URL."""
    try:
        place = sendable(url)
        parts = urlsplit(place)
        is_usable = bool(parts.hostname) and parts.port != 0  # a port that is none raises
    except ValueError:
        return None
    return place if is_usable and place.isascii() and place.isprintable() else None


def next_request(request: Request, status: int, url: str, timeout_s: float) -> Request:
    """The request of the next hop, to be through within `timeout_s`."""
    settings = replace(request.settings, timeout_s=timeout_s)
    headers, body, credentials = request.headers, request.body, request.credentials
    if _turns_into_get(settings.method, status):
        settings = replace(settings, method="GET")
        headers = [line for line in headers if header_name(line) not in _ABOUT_THE_BODY]
        body = None
    if origin(url) == origin(request.url):
        url = with_userinfo_of(request.url, url)
    else:
        headers = [line for line in headers if not _is_credential(line)]
        settings, credentials = replace(settings, auth_scheme="", aws_scope=""), None
    return Request(settings, url, headers, body, credentials)


def _turns_into_get(method: str, status: int) -> bool:
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in _BECOMES_GET and method == "POST"


def with_userinfo_of(url: str, place: str) -> str:
    """`place`, with the user and password of `url` where it has none of its own."""
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    netloc = urlsplit(place).netloc
    return place.replace(f"//{netloc}", f"//{userinfo}@{netloc}", 1) if at and "@" not in netloc else place


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, the default one filled in; one of its own for what cannot be read."""
    try:
        parts = urlsplit(url)
        scheme, port = parts.scheme.lower(), parts.port
    except ValueError:
        return url, "", None
    return scheme, (parts.hostname or "").lower(), _DEFAULT_PORTS.get(scheme) if port is None else port


def _is_credential(line: str) -> bool:
    # A Host header of the suite's own is meant for the first server as well.
    name = header_name(line)
    return name in ("host", "cookie", "authorization", "proxy-authorization") or looks_secret(name)
