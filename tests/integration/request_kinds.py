"""Every key of a request that a suite file may have, as tests of one suite against the embedded target.

`{port}` is the target's, `{proxy}` a proxy, `{socket}` a Unix socket; large and lines are files beside the suite.
"""

import hashlib
from collections.abc import Iterator

from integration.suite_kinds import ITERATIONS, REQUESTS, USERS, Kind, kind

LINES = "first\nsecond ü\n"
LARGE = bytes(range(251)) * 70_000  # more than what is held in memory, and of no power of two
assert len(LARGE) > 16 * 1024 * 1024
_LARGE_TOLD = {"$.bytes": len(LARGE), "$.sha256": hashlib.sha256(LARGE).hexdigest()}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_EVERY = {"attempts": 3 * REQUESTS, "retried": REQUESTS, "retries": 2, "retry_backoff": "1ms"}


def _header(name: str) -> str:
    """The path of a header's value in what /echo tells."""
    return f"$.headers[?@[0]=='{name}'][1]"


def requests() -> Iterator[Kind]:
    for method in METHODS:
        yield kind(f"method {method}", f"/echo/{method}", {"$.method": method}, method=method)
    yield kind("method HEAD", "/echo/head", method="HEAD", expect={"header": {"Content-Type": "json"}})
    yield kind("headers", "/echo/headers", {_header("X-Own"): "a: b"}, headers={"X-Own": "a: b"})
    told = {"$.query": {"equals": {"a": ["1", "2"], "b": ["x & y"]}}}
    yield kind("params", "/echo/params", told, params={"a": [1, 2], "b": "x & y"})
    post = {"method": "POST"}
    yield kind("body", "/echo/body", {"$.body": LINES}, body=LINES, **post)
    yield kind("json", "/echo/json", {"$.body": '{"n":[1,null]}'}, json={"n": [1, None]}, **post)
    yield kind(
        "form",
        "/echo/form",
        {"$.body": {"matches": r"^a=1(\+|%20)%26(\+|%20)2$"}},
        form={"a": "1 & 2"},
        **post,
    )
    yield kind("body_file", "/echo/file", {"$.body": LINES}, body_file="lines", **post)
    hashed = hashlib.sha256(LINES.encode()).hexdigest()
    told = {"$.fields": {"equals": {"a": "1"}}, "$.files.f.sha256": hashed, "$.files.f.filename": "lines"}
    parts = {"fields": {"a": 1}, "files": {"f": "lines"}}
    yield kind("multipart", "/multipart", told, multipart=parts, **post)
    yield kind("compressed", "/gzip?size=50000", {"$.filler": {"length": 49968}}, compressed=True)
    yield kind("compressed with deflate", "/deflate", {"$.route": "/deflate"}, compressed=True)
    whole = {"status": [200, 201], "header": {"content-type": "json"}, "body_contains": '"ok"'}
    yield kind(
        "expect", "/health", {"$.status": "ok"}, expect={**whole, "body_matches": "^{", "max_time": "30s"}
    )
    late = {"expect": {"max_time": "1ms"}, "errors": {"expectation:max_time": REQUESTS}}
    yield kind("expect max_time", "/delay/20", **late, least_ms=20)
    form = {"matches": "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$"}
    yield kind("trace", "/echo/trace", {_header("traceparent"): form}, trace="w3c")
    yield kind("percentiles", "/delay/1", percentiles=[75, 99.99])


def uploads() -> Iterator[Kind]:
    large = {"method": "POST", "body_file": "large"}
    yield kind("large upload", "/upload", _LARGE_TOLD, **large)
    twice = {"follow_redirects": True, "attempts": 2 * REQUESTS}
    yield kind("large upload redirected", "/redirect?to=/upload&status=307", _LARGE_TOLD, **large, **twice)
    failed = {"errors": {"expectation:status": REQUESTS}}
    yield kind("large upload retried", "/status/503", **large, **failed, **_EVERY)
    least = {"$.bytes": {"min": len(LARGE) + len(LINES) + 300, "max": len(LARGE) + len(LINES) + 600}}
    parts = {"multipart": {"fields": {"a": "1"}, "files": {"large": "large", "lines": "lines"}}}
    yield kind("large multipart", "/upload", least, method="PUT", **parts)


def authentications() -> Iterator[Kind]:
    login = {"username": "üser", "password": "p:a ss"}
    # libcurl percent-encodes what is not ASCII in a user name of Digest, so it can only be in the password.
    asked = {"username": "user", "password": "p:ä"}
    digest_route = "/digest/user/p%3A%C3%A4"
    told = {"$.authenticated": True}
    yield kind("basic", "/basic/%C3%BCser/p%3Aa%20ss", told, auth={"type": "basic", **login})
    yield kind(
        "bearer",
        "/echo/bearer",
        {_header("Authorization"): "Bearer t"},
        auth={"type": "bearer", "token": "t"},
    )
    keys = {"access_key": "AKID", "secret_key": "s", "region": "eu-west-1", "service": "execute-api"}
    signed = {
        _header("Authorization"): {"matches": "^AWS4-HMAC-SHA256 Credential=AKID/.*/eu-west-1/execute-api/"}
    }
    yield kind("aws_sigv4", "/echo/aws", signed, auth={"type": "aws_sigv4", **keys})
    # A user is asked who it is once; after that the nonce is used again, with a count that rises.
    digest = {"auth": {"type": "digest", **asked}, "attempts": USERS * (ITERATIONS + 1)}
    for query in ("", "?algorithm=SHA-256", "?qop="):
        yield kind(f"digest {query}.", digest_route + query, told, **digest)
    sent = {"method": "POST", "json": {"a": 1}}
    yield kind("digest of a body", digest_route, told, **digest, **sent)
    # Every second use of a nonce is one too many: asked, good, stale, good, stale, good.
    stale = {**digest, "attempts": USERS * 2 * ITERATIONS}
    yield kind("digest stale", digest_route + "?stale_after=1", told, **stale)
    wrong = {"auth": {"type": "digest", "username": "user", "password": "wrong"}, "attempts": 2 * REQUESTS}
    yield kind("digest refused", "/digest/user/right", **wrong, errors={"expectation:status": REQUESTS})
    # What was known is forgotten on the way, so each is asked who it is.
    follow = {"follow_redirects": True, "attempts": 3 * REQUESTS}
    known = {"auth": {"type": "digest", "username": "user", "password": "right"}}
    yield kind("digest after a redirect", "/redirect?to=/digest/user/right", told, **known, **follow)


def redirects_and_cookies() -> Iterator[Kind]:
    follow = {"follow_redirects": True}
    yield kind("follow_redirects", "/redirect/2", {"$.redirected": True}, **follow, attempts=3 * REQUESTS)
    kept = {"method": "PUT", "body": "x", "attempts": 4 * REQUESTS}
    yield kind("follow with the method", "/redirect/3?status=308", {"$.method": "PUT"}, **follow, **kept)
    looped = {"attempts": 4 * REQUESTS, "errors": {"too_many_redirects": REQUESTS}}
    yield kind("max_redirects", "/redirect/loop", **follow, max_redirects=3, **looped)
    yield kind(
        "no redirects", "/redirect/1", **follow, max_redirects=0, errors={"too_many_redirects": REQUESTS}
    )
    yield kind("redirect not followed", "/redirect/1", errors={"expectation:status": REQUESTS})
    lost = {"attempts": REQUESTS, "errors": {"refused": REQUESTS}}
    yield kind("redirect to nowhere", "/redirect?to=http://127.0.0.1:1/", **follow, **lost, connections=None)
    jar = {**follow, "attempts": 2 * REQUESTS}
    one = {"$.cookies": {"equals": {"sid": "1"}}}
    yield kind("cookies", "/cookies/set?sid=1&redirect=1", one, **jar, cookies=True)
    none = {"$.cookies": {"equals": {}}}
    yield kind("cookies false", "/cookies/set?sid=1&redirect=1", none, **jar, cookies=False)
    first = {"$.cookies": {"length": 1}, "$.cookies.*": {"matches": "^[12]$"}}
    yield kind(
        "cookies of users", "/cookies/set?sid${user()}=${user()}&redirect=1", first, **jar, cookies=True
    )


def failures_and_retries() -> Iterator[Kind]:
    status = {"errors": {"expectation:status": REQUESTS}}
    yield kind("retries in vain", "/flaky?rate=1&status=502", **_EVERY, **status)
    # Of the requests that the target counts every fourth fails: the fourth of seven.
    now_and_then = {"retries": 20, "retry_backoff": 0}
    yield kind("retries", "/flaky?rate=0.25", **now_and_then, attempts=7, retried=1)
    # Every second: eleven, for six that succeed. Whose are tried again how often is up to chance.
    yield kind("many retries", "/flaky?rate=0.5&status=502", **now_and_then, attempts=11, retried=None)
    yield kind("not retried", "/flaky?rate=0.5&status=500", **now_and_then, errors={"expectation:status": 3})
    named = {**now_and_then, "retry_on": ["5xx"], "attempts": 11, "retried": None}
    yield kind("retried as named", "/flaky?rate=0.5&status=501", **named)
    for route, error in {
        "reset": "reset",
        "truncate": "truncated",
        "truncate?head=1": "truncated",
        "garbage": "bad_response",
    }.items():
        broken = {"errors": {error: REQUESTS}, "connections": None}
        yield kind(f"fault {route}", f"/{route}", **broken)
        retried = {**broken, **_EVERY, "retry_on": [error]}
        yield kind(f"fault retried {route}", f"/{route}", **retried)
    hung = {"timeout": "400ms", "errors": {"timeout": REQUESTS}, "connections": REQUESTS, "least_ms": 400}
    yield kind("timeout", "/hang", **hung)
    again = {"retries": 1, "retry_backoff": "1ms", "attempts": 2 * REQUESTS, "retried": REQUESTS}
    yield kind("timeout retried", "/hang?after=10", **{**hung, **again, "connections": 2 * REQUESTS})
    gone = {"errors": {"refused": REQUESTS}, "attempts": 0, "connections": 0}
    yield kind("refused", "http://127.0.0.1:1/", **gone)
    tried = {**_EVERY, **gone}
    yield kind("refused retried", "http://127.0.0.1:1/", retry_on=["connect"], **tried)
    unknown = {**gone, "errors": {"dns": REQUESTS}}
    # Too long for a name, so no name server is asked, which might be slow to answer.
    yield kind("unknown name", f"http://{'a' * 64}/", **unknown)
    # The server closes what it promised to keep. Whether a request was on its way then is up to chance.
    yield kind("close", "/close", attempts=None, resent=None, connections=None)


def connections() -> Iterator[Kind]:
    yield kind("keepalive false", "/echo/fresh", keepalive=False, connections=REQUESTS)
    yield kind("preconnect", "/echo/standing", preconnect=True)
    yield kind("connect_timeout", "/echo/in-time", connect_timeout="9s", timeout="20s")
    yield kind("http_version 1.1", "/echo/one", {"$.http_version": "1.1"}, http_version="1.1")
    # The target declines the offer to go on in HTTP/2.
    yield kind("http_version 2", "/echo/two", {"$.http_version": "1.1"}, http_version=2)
    yield kind("tls", "/echo/tls", tls={"verify": False})
    named = "http://api.invalid:{port}"
    host = {_header("Host"): "api.invalid:{port}"}
    yield kind("resolve", f"{named}/echo/resolve", host, resolve={"api.invalid": "127.0.0.1"})
    yield kind(
        "dns",
        "http://localhost:{port}/echo/dns",
        resolve={"localhost": "127.0.0.1"},
        dns={"select": "random"},
    )
    local = {"local_addresses": ["127.0.0.2", "127.0.0.3"]}
    yield kind("local_addresses", "/echo/local", **local)
    yield kind("proxy", "/echo/proxy", proxy="{proxy}")
    yield kind(
        "unix_socket",
        "http://any.example/echo/unix",
        {_header("Host"): "any.example"},
        unix_socket="{socket}",
    )


_GROUPS = (requests, uploads, authentications, redirects_and_cookies, failures_and_retries, connections)
KINDS = [one for group in _GROUPS for one in group()]
