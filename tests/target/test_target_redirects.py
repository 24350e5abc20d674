"""/redirect and /cookies, followed by urllib, whose redirects and cookie jar are the oracle."""

import http.cookiejar
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from raw_client import RawClient, RawResponse
from target_process import TIMEOUT_S, TargetProcess


@pytest.fixture
def client(target: TargetProcess) -> Iterator[RawClient]:
    with RawClient(target.port) as client:
        yield client


def ask(client: RawClient, target: str, *headers: str) -> RawResponse:
    client.send("\r\n".join([f"GET {target} HTTP/1.1", *headers, "", ""]).encode())
    return client.response()


def without_proxy(*handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)


@pytest.mark.parametrize("query", ["", "?status=301", "?absolute=1", "?status=308&absolute=1"])
def test_n_redirects_end_in_an_answer(target: TargetProcess, query: str) -> None:
    with without_proxy().open(f"{target.url}/redirect/3{query}", timeout=TIMEOUT_S) as answer:
        assert json.load(answer) == {"redirected": True, "method": "GET"}
        assert answer.url == f"{target.url}/redirect/0{query}"
    assert target.stats()["paths"] == {f"/redirect/{left}": 1 for left in range(4)}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_has_the_status_asked_for(client: RawClient, status: int) -> None:
    for _ in range(2):
        response = client.ask(f"/redirect/1?status={status}")
        assert (response.status, response.headers["location"]) == (status, f"/redirect/0?status={status}")


def test_a_loop_never_ends(target: TargetProcess, client: RawClient) -> None:
    assert client.ask("/redirect/loop").headers["location"] == "/redirect/loop"
    with pytest.raises(urllib.error.HTTPError, match="infinite loop"):
        without_proxy().open(f"{target.url}/redirect/loop", timeout=TIMEOUT_S)


def test_an_absolute_location_is_made_of_the_host_header(client: RawClient) -> None:
    wanted = "http://api.example:8000/redirect/1?absolute=1"
    assert ask(client, "/redirect/2?absolute=1", "Host: api.example:8000").headers["location"] == wanted
    assert ask(client, "/redirect/2?absolute=1").status == 400


@pytest.mark.parametrize(
    "place",
    ["ftp://127.0.0.1/x", "file:///etc/hostname", "http://user@h:1/a?b=c&d=%20", "/echo?x=1", "//h/x"],
)
def test_a_redirect_leads_wherever_it_is_told(client: RawClient, place: str) -> None:
    response = client.ask(f"/redirect?to={quote(place, safe='')}&status=307")
    assert (response.status, response.headers["location"]) == (307, place)


WRONG_REDIRECTS = [
    "/redirect",
    "/redirect/",
    "/redirect/x",
    "/redirect/-1",
    "/redirect/1?status=200",
    "/redirect/1?absolute=x",
    "/redirect?to=a%0d%0aX:%20y",
    "/redirect?to=%C3%A9",
]


@pytest.mark.parametrize("path", WRONG_REDIRECTS)
def test_wrong_redirects_are_refused(client: RawClient, path: str) -> None:
    assert client.ask(path).status == 400


def test_a_cookie_jar_brings_back_what_was_set_until_it_is_deleted(target: TargetProcess) -> None:
    jar = http.cookiejar.CookieJar()
    opener = without_proxy(urllib.request.HTTPCookieProcessor(jar))

    def answer(path: str) -> object:
        with opener.open(target.url + path, timeout=TIMEOUT_S) as response:
            return json.load(response)

    assert answer("/cookies") == {"cookies": {}}
    assert answer("/cookies/set?a=1&b=x%3Dy") == {"set": {"a": "1", "b": "x=y"}}
    assert answer("/cookies") == {"cookies": {"a": "1", "b": "x=y"}}
    assert {(cookie.name, cookie.path) for cookie in jar} == {("a", "/"), ("b", "/")}
    assert answer("/cookies/set?redirect=1&c=3") == {"cookies": {"a": "1", "b": "x=y", "c": "3"}}
    assert answer("/cookies/delete?a&c") == {"deleted": ["a", "c"]}
    assert answer("/cookies") == {"cookies": {"b": "x=y"}}


def test_cookies_are_told_as_they_came(client: RawClient) -> None:
    response = ask(client, "/cookies", 'Cookie: a=1; b="q"; a=2;nothing; c=', "Cookie: d=4")
    assert json.loads(response.body) == {"cookies": {"a": "1", "b": '"q"', "c": "", "d": "4"}}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/cookies/set", 400),
        ("/cookies/set?redirect=1", 400),
        ("/cookies/set?a=b%0d%0aX:%20y", 400),
        ("/cookies/set?a%20b=1", 400),
        ("/cookies/set?a=b;c", 400),
        ("/cookies/delete", 400),
        ("/cookies/nope", 404),
    ],
)
def test_what_cannot_be_a_cookie_is_refused(client: RawClient, path: str, status: int) -> None:
    response = client.ask(path)
    assert response.status == status
    assert "set-cookie" not in response.headers
