"""What is asked next when an answer points elsewhere (RFC 9110, section 15.4; the Fetch standard where it leaves room).

libcurl could follow by itself, but would carry an API key's header to any host that a server names. Here nothing
that announces a secret leaves the origin it was meant for, and each hop is an attempt that is counted.
"""

from dataclasses import replace
from urllib.parse import urlsplit

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


def next_request(request: Request, status: int, url: str, timeout_s: float) -> Request:
    """The request of the next hop, to be through within `timeout_s`."""
    settings = replace(request.settings, timeout_s=timeout_s)
    headers, body, credentials = request.headers, request.body, request.credentials
    if _turns_into_get(settings.method, status):
        settings = replace(settings, method="GET")
        headers = [line for line in headers if _name(line) not in _ABOUT_THE_BODY]
        body = None
    if origin(url) != origin(request.url):
        headers = [line for line in headers if not _is_credential(line)]
        settings, credentials = replace(settings, auth_scheme="", aws_scope=""), None
    return Request(settings, url, headers, body, credentials)


def _turns_into_get(method: str, status: int) -> bool:
    if status == 303:
        return method not in ("GET", "HEAD")
    return status in _BECOMES_GET and method == "POST"


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port, the default one filled in; a port that is none counts as none."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    try:
        port = parts.port
    except ValueError:
        port = None
    return scheme, (parts.hostname or "").lower(), port or _DEFAULT_PORTS.get(scheme)


def _name(line: str) -> str:
    return line.partition(":")[0].strip().lower()


def _is_credential(line: str) -> bool:
    # A Host header of the suite's own is meant for the first server as well.
    name = _name(line)
    return name in ("host", "cookie", "authorization", "proxy-authorization") or looks_secret(name)
