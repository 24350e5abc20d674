"""Every kind of request that httpbin has, as tests of a suite. lines.txt and data.bin are files beside it."""

from collections.abc import Iterator

from integration.suite_kinds import ITERATIONS, REQUESTS, USERS, Kind, kind

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")
WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
SENT = {"n": 7, "list": [True, None, 1.5], "text": 'ü "quoted" €'}
LINES = "first\nsecond ü\n"
BINARY = b"\x00\xff\xfe\r\n--not the end\r\n"
BINARY_TOLD = "data:application/octet-stream;base64,AP/+DQotLW5vdCB0aGUgZW5kDQo="
_LOGIN = {"username": "user", "password": "pass word"}
_BASIC = {"auth": {"type": "basic", **_LOGIN}}
# httpbin takes the decoded path for the uri that was signed, so there is nothing to decode in it.
_DIGEST = {"auth": {"type": "digest", "username": "user", "password": "passwd"}}
# The first request of a user is asked who it is; for the others the answer is known.
_DIGEST_ATTEMPTS = USERS * (ITERATIONS + 1)


def inspections() -> Iterator[Kind]:
    params = {"b": "x & y", "c": ["1", "ü"]}
    yield kind("get", "/get?a=1", {"$.args": {"equals": {"a": "1", **params}}}, params=params)
    made = {"$.args.id": {"matches": "^[0-9a-f-]{36}$"}, "$.args.n": {"matches": "^[0-2]$"}}
    yield kind("get with variables", "/get", made, params={"id": "${uuid()}", "n": "${randint(0, 2)}"})
    own = {"X-Own": "a: b", "Accept": "text/x", "Host": "other.example"}
    yield kind(
        "headers", "/headers", {f"$.headers['{key}']": value for key, value in own.items()}, headers=own
    )
    yield kind("user agent", "/user-agent", {"$['user-agent']": {"matches": "^perfcore/[0-9]"}})
    named = {"headers": {"User-Agent": "mine/1"}}
    yield kind("user agent of the suite", "/user-agent", {"$['user-agent']": "mine/1"}, **named)
    yield kind("ip", "/ip", {"$.origin": "127.0.0.1"})
    local = {"local_addresses": ["127.0.0.2", "127.0.0.3"]}
    yield kind("local addresses", "/ip", {"$.origin": {"matches": "^127.0.0.[23]$"}}, **local)
    yield kind("uuid", "/uuid", {"$.uuid": {"matches": "^[0-9a-f]{8}-[0-9a-f]{4}-4"}})
    yield kind("keepalive false", "/get", keepalive=False, connections=REQUESTS)
    yield kind("preconnect", "/get", preconnect=True)
    yield kind("head", "/get", method="HEAD", expect={"header": {"Content-Type": "application/json"}})
    yield kind("options", "/get", method="OPTIONS", expect={"header": {"Allow": "OPTIONS"}})
    for method in METHODS:
        told = {"$.method": method, "$.args.q": "1"}
        yield kind(f"anything {method}", "/anything?q=1", told, method=method)
        told = {"$.method": method, "$.url": {"matches": "/anything/a( |%20)b/c$"}}
        yield kind(f"anything below {method}", "/anything/a%20b/c", told, method=method)
        slow = {"$.url": {"contains": "/delay/0.02"}}
        yield kind(f"delay {method}", "/delay/0.02", slow, method=method, least_ms=20)


def bodies() -> Iterator[Kind]:
    route = {"POST": "/post", "PUT": "/put", "PATCH": "/patch", "DELETE": "/delete"}
    form = {"x": "1 & 2=3", "ü": "€ +%", "empty": ""}
    fields = {"text": "a\r\nb", "twice": ["1", "2"], "ü": "€"}
    for method in WITH_BODY:
        sent = {"endpoint": route[method], "method": method}
        told = {"$.json": {"equals": SENT}, "$.headers['Content-Type']": "application/json"}
        yield kind(f"json {method}", told=told, json=SENT, **sent)
        yield kind(f"form {method}", told={"$.form": {"equals": form}, "$.data": ""}, form=form, **sent)
        told = {"$.form": {"equals": fields}, "$.files": {"equals": {"f": LINES, "b": BINARY_TOLD}}}
        parts = {"fields": fields, "files": {"f": "lines.txt", "b": "data.bin"}}
        yield kind(f"multipart {method}", told=told, multipart=parts, **sent)
        yield kind(f"body file {method}", told={"$.data": BINARY_TOLD}, body_file="data.bin", **sent)
        typed = {"headers": {"Content-Type": "text/x-own"}}
        told = {"$.data": LINES, "$.headers['Content-Type']": "text/x-own"}
        yield kind(f"body {method}", told=told, body=LINES, **typed, **sent)
        told = {"$.data": "", "$.headers['Content-Type']": {"exists": False}}
        yield kind(f"no body {method}", told=told, **sent)
    told = {"$.json.at": {"min": 0, "max": ITERATIONS}, "$.json.text": {"matches": "^u[12]$"}}
    yield kind(
        "json with variables",
        "/post",
        told,
        method="POST",
        json={"at": "${iteration()}", "text": "u${user()}"},
    )
    told = {"$.form": {"equals": {"a": "1"}}, "$.files": {"equals": {}}}
    yield kind("multipart without files", "/post", told, method="POST", multipart={"fields": {"a": 1}})


def authentications() -> Iterator[Kind]:
    told = {"$.authenticated": True, "$.user": "user"}
    failed = {"errors": {"expectation:status": REQUESTS}}
    yield kind("basic", "/basic-auth/user/pass%20word", told, **_BASIC)
    yield kind(
        "basic in the url", "http://user:pass%20word@127.0.0.1:{port}/basic-auth/user/pass%20word", told
    )
    yield kind("basic with another password", "/basic-auth/user/other", **_BASIC, **failed)
    yield kind("hidden basic", "/hidden-basic-auth/user/pass%20word", told, **_BASIC)
    yield kind("hidden basic without", "/hidden-basic-auth/user/pass", expect={"status": 404})
    token = {"auth": {"type": "bearer", "token": "to.k-en="}}
    yield kind("bearer", "/bearer", {"$.authenticated": True, "$.token": "to.k-en="}, **token)
    yield kind("bearer without", "/bearer", expect={"status": 401})
    known = {**_DIGEST, "attempts": _DIGEST_ATTEMPTS}
    for qop in ("auth", "auth-int", "both"):
        yield kind(f"digest {qop}", f"/digest-auth/{qop}/user/passwd", told, **known)
        for algorithm in ("MD5", "SHA-256"):
            route = f"/digest-auth/{qop}/user/passwd/{algorithm}"
            yield kind(f"digest {qop} {algorithm}", route, told, **known)
    stale = "/digest-auth/auth/user/passwd/MD5/2"
    # A nonce is good for two requests; the third is told that it is stale, and needs another round.
    rounds = USERS * (2 + 1 + 2)
    yield kind("digest stale", stale, told, cookies=True, **_DIGEST, attempts=rounds)
    # A refused answer is not tried with the same password again, and the next request begins anew.
    wrong = {**_DIGEST, "attempts": 2 * REQUESTS, **failed}
    yield kind("digest with another password", "/digest-auth/auth/user/other", **wrong)


def statuses() -> Iterator[Kind]:
    for status in (200, 201, 202, 204, 206, 304, 400, 401, 404, 409, 422, 429, 500, 503):
        yield kind(f"status {status}", f"/status/{status}", expect={"status": status})
    yield kind("teapot", "/status/418", expect={"status": 418, "body_contains": "teapot"})
    failed = {"errors": {"expectation:status": REQUESTS}}
    yield kind("unexpected status", "/status/404", **failed)
    yield kind("expected status that did not come", "/status/200", expect={"status": 201}, **failed)
    yield kind("redirect not followed", "/status/302", **failed)
    for method in METHODS:
        yield kind(f"status {method}", "/status/202", method=method, expect={"status": 202})
    again = {"retries": 2, "retry_backoff": 0.01}
    tried = {"attempts": 3 * REQUESTS, "retried": REQUESTS, **again}
    yield kind("retries in vain", "/status/503", **tried, **failed)
    yield kind("post retried in vain", "/status/503", method="POST", json=SENT, **tried, **failed)
    yield kind("status that is not retried", "/status/500", **again, **failed)
    yield kind("expected status is not retried", "/status/503", **again, expect={"status": 503})
    chance = {"retries": 60, "retry_backoff": 0, "attempts": None, "retried": None}
    yield kind("retried until it works", "/status/200,503", **chance)


def redirects() -> Iterator[Kind]:
    follow = {"follow_redirects": True}
    for route in ("redirect", "relative-redirect", "absolute-redirect"):
        told = {"$.url": {"matches": "/get$"}}
        yield kind(route, f"/{route}/3", told, **follow, attempts=4 * REQUESTS)
    yield kind("as many as allowed", "/redirect/3", **follow, max_redirects=3, attempts=4 * REQUESTS)
    many = {"max_redirects": 2, "errors": {"too_many_redirects": REQUESTS}}
    yield kind("too many redirects", "/redirect/3", **follow, **many, attempts=3 * REQUESTS)
    yield kind("links", "/links/5", **follow, expect={"body_contains": "/links/5/4"}, attempts=2 * REQUESTS)
    yield kind("status 302 followed", "/status/302", **follow, attempts=3 * REQUESTS)
    for method in METHODS:
        for status in (301, 302, 303, 307, 308):
            becomes_get = status == 303 or (method == "POST" and status < 303)
            has_body = method in WITH_BODY
            told = {
                "$.method": "GET" if becomes_get else method,
                "$.json": {"equals": SENT if has_body and not becomes_get else None},
            }
            keys = {"method": method, **({"json": SENT} if has_body else {}), **follow}
            endpoint = f"/redirect-to?url=/anything&status_code={status}"
            yield kind(f"redirect {method} {status}", endpoint, told, **keys, attempts=2 * REQUESTS)
    yield kind(
        "redirect with a form",
        "/redirect-to?url=/put&status_code=307",
        {"$.form.a": "1"},
        method="PUT",
        form={"a": 1},
        **follow,
        attempts=2 * REQUESTS,
    )
    yield kind(
        "redirect with files",
        "/redirect-to?url=/post&status_code=308",
        {"$.files.b": BINARY_TOLD},
        method="POST",
        multipart={"files": {"b": "data.bin"}},
        **follow,
        attempts=2 * REQUESTS,
    )
    secret = {"X-Api-Key": "k", "Cookie": "c=1", "Authorization": "Bearer t", "X-Own": "stays"}
    elsewhere = "http://localhost:{port}/headers"
    for place, stays in (("/headers", True), (elsewhere, False)):
        told = {
            f"$.headers['{name}']": {"exists": stays} for name in ("X-Api-Key", "Cookie", "Authorization")
        }
        told["$.headers['X-Own']"] = "stays"
        connections = USERS if stays else 2 * USERS
        name = "the same host" if stays else "another host"
        yield kind(
            f"redirect to {name}",
            "/redirect-to",
            told,
            params={"url": place},
            headers=secret,
            **follow,
            attempts=2 * REQUESTS,
            connections=connections,
        )


def cookies() -> Iterator[Kind]:
    jar = {"cookies": True, "follow_redirects": True, "attempts": 2 * REQUESTS}
    yield kind(
        "cookies",
        "/cookies/set?sid=abc&other=d",
        {"$.cookies": {"equals": {"sid": "abc", "other": "d"}}},
        **jar,
    )
    told = {"$.cookies": {"equals": {"sid": "abc"}}}
    yield kind("a jar for each test", "/cookies/set/sid/abc", told, **jar)
    yield kind(
        "a jar for each user",
        "/cookies/set/sid${user()}/1",
        {"$.cookies.*": "1", "$.cookies": {"length": 1}},
        **jar,
    )
    yield kind("deleted cookies", "/cookies/delete?sid", {"$.cookies": {"equals": {}}}, **jar)
    yield kind("no jar", "/cookies/set?sid=abc", {"$.cookies": {"equals": {}}}, **{**jar, "cookies": False})
    own = {"headers": {"Cookie": "own=1; two=2"}}
    yield kind("cookies of the suite", "/cookies", {"$.cookies": {"equals": {"own": "1", "two": "2"}}}, **own)
    both = {"$.cookies": {"equals": {"own": "1", "two": "2", "sid": "abc"}}}
    yield kind("cookies of suite and jar", "/cookies/set?sid=abc", both, **jar, **own)


def formats() -> Iterator[Kind]:
    for route, text in {
        "/html": "Herman Melville",
        "/robots.txt": "Disallow: /deny",
        "/deny": "YOU SHOULDN'T BE HERE",
        "/encoding/utf8": "∮ E⋅da = Q",
        "/forms/post": "<form",
        "/": "httpbin",
        "/base64/R3LDvMOfZQ==": "Grüße",
    }.items():
        yield kind(f"text {route}", route, expect={"body_contains": text})
    yield kind(
        "xml", "/xml", expect={"header": {"Content-Type": "application/xml"}, "body_contains": "<slideshow"}
    )
    yield kind("json", "/json", {"$.slideshow.slides": {"length": 2}, "$..title": {"exists": True}})
    yield kind("favicon", "/static/favicon.ico", expect={"header": {"Content-Type": "image/"}})
    for form in ("png", "jpeg", "webp", "svg"):
        full = "image/svg+xml" if form == "svg" else f"image/{form}"
        typed = {"expect": {"header": {"Content-Type": full}}}
        yield kind(f"image {form}", f"/image/{form}", **typed)
        yield kind(f"accept {form}", "/image", headers={"Accept": full}, **typed)
    yield kind("accept nothing", "/image", headers={"Accept": "text/plain"}, expect={"status": 406})


def compressions() -> Iterator[Kind]:
    for route, field_name in {"gzip": "gzipped", "deflate": "deflated", "brotli": "brotli"}.items():
        told = {f"$.{field_name}": True, "$.headers['Accept-Encoding']": {"contains": "gzip"}}
        yield kind(f"compressed {route}", f"/{route}", told, compressed=True)
    # What was not asked for is not decoded.
    raw = {"header": {"Content-Encoding": "gzip"}}
    yield kind("not decoded", "/gzip", expect=raw)
    told = {"$.gzipped": True}
    yield kind("json that was not decoded", "/gzip", told, errors={"expectation:json": REQUESTS})


def streams() -> Iterator[Kind]:
    yield kind("drip", "/drip?duration=0.02&numbytes=5", expect={"body_matches": r"^\*{5}$"}, least_ms=16)
    slow = {"expect": {"status": 202}, "least_ms": 20}
    yield kind("drip after a delay", "/drip?duration=0&numbytes=3&delay=0.02&code=202", **slow)
    chunked = {"Transfer-Encoding": "chunked"}
    yield kind(
        "stream", "/stream/4", expect={"header": chunked, "body_matches": r'(?s)"id": 0.*"id": 3\}\s*$'}
    )
    yield kind("stream of bytes", "/stream-bytes/50000?chunk_size=999&seed=1", expect={"header": chunked})
    yield kind("bytes", "/bytes/50000?seed=1", expect={"header": {"Content-Length": "50000"}})
    part = {"status": 206, "header": {"Content-Range": "bytes 2-5/26"}, "body_matches": "^cdef$"}
    yield kind("range", "/range/26", headers={"Range": "bytes=2-5"}, expect=part)
    yield kind("whole range", "/range/26?duration=0", expect={"body_matches": "^abc.*xyz$"})
    yield kind("range outside", "/range/26", headers={"Range": "bytes=90-99"}, expect={"status": 416})


def caches() -> Iterator[Kind]:
    yield kind(
        "cache", "/cache", {"$.url": {"matches": "/cache$"}}, expect={"header": {"Last-Modified": "GMT"}}
    )
    none_match = {"headers": {"If-None-Match": '"abc"'}}
    yield kind("not modified", "/cache", **none_match, expect={"status": 304})
    yield kind("cache for a minute", "/cache/60", expect={"header": {"Cache-Control": "max-age=60"}})
    yield kind("etag", "/etag/abc", expect={"header": {"ETag": "abc"}})
    yield kind("etag not modified", "/etag/abc", **none_match, expect={"status": 304})
    yield kind("etag of another", "/etag/abc", headers={"If-Match": '"other"'}, expect={"status": 412})
    for method in ("GET", "POST"):
        shown = {"header": {"X-One": "1", "X-Two": "a b"}}
        endpoint = "/response-headers?X-One=1&X-Two=a%20b"
        yield kind(f"response headers {method}", endpoint, {"$['X-Two']": "a b"}, method=method, expect=shown)


_GROUPS = (
    inspections,
    bodies,
    authentications,
    statuses,
    redirects,
    cookies,
    formats,
    compressions,
    streams,
    caches,
)
KINDS = [one for group in _GROUPS for one in group()]
