"""Which transport carries a test: the wire path where it can do all that the test asks for, else libcurl transfers."""

from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from perfcore.errors import UsageError
from perfcore.suite.authentication import BasicAuth, BearerAuth
from perfcore.suite.template import compile_text
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import EMBEDDED, TestSuite, join_url

Engine = Literal["wire", "transfer"]
EngineWish = Literal["auto", "transfer", "wire"]
ENGINE_WISHES: tuple[EngineWish, ...] = ("auto", "transfer", "wire")

# Headers by which the framing of a request, or the protocol, would be another one.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "expect", "upgrade", "te", "trailer"})
_PLAIN_CONNECTION_VALUES = frozenset({"close", "keep-alive"})


def choose_engine(suite: TestSuite, case: TestCase, wish: EngineWish) -> Engine:
    """The engine of one test; with the wish `wire` the suite is one that `check_engine` has passed."""
    if wish == "transfer":
        return "transfer"
    return "transfer" if wire_lacks(suite, case) else "wire"


def check_engine(suite: TestSuite, wish: EngineWish) -> None:
    """Raises UsageError for the tests that the wire path was asked for and cannot serve, all of them at once."""
    if wish != "wire":
        return
    lacking = [(case.name, reason) for case in suite.tests if (reason := wire_lacks(suite, case))]
    if lacking:
        told = "; ".join(f"{name!r}: {reason}" for name, reason in lacking)
        raise UsageError(f"--engine wire cannot serve {told} (--engine auto takes what fits each test)")


def wire_lacks(suite: TestSuite, case: TestCase) -> str | None:
    """What of this test needs libcurl transfers; None when the wire path can do it all."""
    return _lacks_of_place(suite, case) or _lacks_of_options(case) or _lacks_of_headers(case.headers)


def _lacks_of_place(suite: TestSuite, case: TestCase) -> str | None:
    endpoint = compile_text(case.endpoint, suite.scope)
    if endpoint.constant is None and not stays_at_one_place(endpoint.prefix):
        return "its address is known only when it is sent"
    url = join_url(suite.base_url, endpoint.constant or endpoint.prefix)
    if suite.base_url == EMBEDDED and url.startswith(EMBEDDED):
        url = f"http://{url}"
    scheme, _, rest = url.partition("://")
    authority = rest.partition("/")[0]
    if "${" in scheme or "${" in authority or not rest:
        return "its address is known only when it is sent"
    if "@" in authority:
        return "a user name in its URL"
    if "%" in authority or _is_short_address(url):
        return "a host name that libcurl spells in another way"
    if scheme.lower() == "https" and case.http_version == "auto":
        return "HTTP/2 may be negotiated over TLS (http_version: 1.1 forgoes it)"
    if case.http_version not in ("auto", "1.1"):
        return f"http_version {case.http_version}"
    if case.proxy and scheme.lower() == "http" and case.proxy.lower().startswith("http"):
        return "an HTTP proxy that is asked for each request"
    return None


def stays_at_one_place(prefix: str) -> bool:
    """Whether every endpoint that begins so is asked of one server: none can be an absolute URL of another's."""
    scheme, mark, rest = prefix.partition("://")
    if mark and "/" not in scheme:
        return any(end in rest for end in "/?#")
    return prefix.startswith(("/", "?", "#")) or ("/" in prefix and ":" not in prefix)


def _lacks_of_options(case: TestCase) -> str | None:
    if case.follow_redirects:
        return "follow_redirects"
    if case.auth is not None and not isinstance(case.auth, BasicAuth | BearerAuth):
        return f"auth {case.auth.type}"
    if case.compressed and case.expect.needs_body:
        return "compressed answers whose body is looked at"
    return None


def _lacks_of_headers(headers: Mapping[str, str]) -> str | None:
    for name, value in headers.items():
        key = name.lower()
        if key in _FRAMING_HEADERS:
            return f"a header {name}"
        if key == "connection" and value.strip().lower() not in _PLAIN_CONNECTION_VALUES:
            return f"a header {name}: {value}"
    return None


def _is_short_address(url: str) -> bool:
    """Whether the host is an IPv4 address in one of the forms that libcurl writes out (127.1, 0x7f000001)."""
    host = urlsplit(url).hostname or ""
    parts = host.split(".")
    is_number = all(part.isdigit() or part.startswith("0x") for part in parts)
    is_plain = len(parts) == 4 and all(part.isdigit() and str(int(part)) == part for part in parts)
    return bool(host) and is_number and not is_plain
