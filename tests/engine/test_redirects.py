"""Where a redirect leads: methods, bodies, and what is not carried to another origin."""

import pytest

from engine.http_harness import settings
from perfcore.engine.redirects import can_be_followed, next_request, origin, sendable_place
from perfcore.engine.transport import Request

HEADERS = [
    "Accept-Language: de",
    "Authorization: Bearer abc",
    "Cookie: sid=1",
    "X-Api-Key: k",
    "x-auth-token: t",
    "Proxy-Authorization: p",
    "Host: virtual.example",
    "Content-Type: application/json",
]


def hop(status, url, method="GET", *, headers=(), body=None, start="http://one.example/a", **changes):
    request = Request(settings(method, **changes), start, list(headers), body, ("user", "password"))
    return next_request(request, status, url, 3.5)


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (302, "DELETE", "DELETE"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PATCH", "PATCH"),
        (301, "HEAD", "HEAD"),
    ],
)
def test_the_method_of_the_next_hop_is_that_of_the_fetch_standard(status, method, becomes):
    following = hop(status, "http://one.example/b", method, body=b"{}", headers=["Content-Type: a/b", "X: 1"])
    assert following.settings.method == becomes
    kept = becomes == method
    assert following.body == (b"{}" if kept else None)
    assert following.headers == (["Content-Type: a/b", "X: 1"] if kept else ["X: 1"])


def test_a_trace_goes_along_to_any_place() -> None:
    line = "traceparent: 00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    for place in ("http://one.example/b", "https://two.example/"):
        assert hop(302, place, headers=[line]).headers == [line]


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://two.example/",
        "http://one.example:8080/",
        "https://one.example/",
        "http://one.example.evil/",
        "http://user@two.example/",
    ],
)
def test_nothing_that_announces_a_secret_leaves_its_origin(elsewhere):
    following = hop(302, elsewhere, headers=HEADERS, auth_scheme="digest")
    assert following.headers == ["Accept-Language: de", "Content-Type: application/json"]
    assert following.credentials is None
    assert following.settings.auth_scheme == ""


@pytest.mark.parametrize("near", ["http://one.example/b", "http://ONE.example:80/b", "HTTP://one.example"])
def test_within_its_origin_a_request_keeps_what_it_carries(near):
    following = hop(302, near, headers=HEADERS, auth_scheme="digest")
    assert following.headers == HEADERS
    assert following.credentials == ("user", "password")
    assert following.settings.auth_scheme == "digest"


def test_a_hop_has_the_time_that_is_left():
    assert hop(302, "http://one.example/b").settings.timeout_s == 3.5


@pytest.mark.parametrize(
    ("url", "followed"),
    [
        ("http://a/", True),
        ("HTTPS://a/", True),
        ("ftp://a/", False),
        ("file:///etc/passwd", False),
        ("gopher://a/", False),
        ("httpx://a/", False),
    ],
)
def test_only_http_is_followed(url, followed):
    assert can_be_followed(url) is followed


def test_an_origin_has_its_default_port_filled_in():
    assert origin("https://Example.com/x") == ("https", "example.com", 443)
    assert origin("http://[::1]:81/") == ("http", "::1", 81)


@pytest.mark.parametrize("url", ["http://a:99999/", "http://a:0/", "http://[a/", "http://a]b/"])
def test_what_cannot_be_read_is_the_origin_of_nothing_else(url):
    assert origin(url) not in (origin("http://a/"), origin("http://a:80/"))
    assert origin(url) == origin(url)


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ("http://a/b?c=d", "http://a/b?c=d"),
        ("http://a/ü b", "http://a/%C3%BC%20b"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://[::1]:81/", "http://[::1]:81/"),
        ("http://[foo/", None),
        ("http://a]b/", None),
        ("http://ü]/", None),
        ("http://a:99999/", None),
        ("http://a:0/", None),
        ("http:///x", None),
        ("http://a:x/", None),
    ],
)
def test_a_place_that_a_server_names_is_brought_into_ascii_or_is_none(named, place):
    assert sendable_place(named) == place


def test_within_its_origin_a_url_keeps_its_user_and_password():
    assert hop(302, "http://h/b", start="http://joe:pw@h/a").url == "http://joe:pw@h/b"
    assert hop(302, "http://ann:x@h/b", start="http://joe:pw@h/a").url == "http://ann:x@h/b"
    assert hop(302, "http://h:81/b", start="http://joe:pw@h/a").url == "http://h:81/b"
