import base64
import json
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from raw_client import RawClient, RawResponse
from target_process import TargetProcess


@pytest.fixture
def client(target: TargetProcess) -> Iterator[RawClient]:
    with RawClient(target.port) as client:
        yield client


def json_of(response: RawResponse) -> object:
    assert response.headers["content-type"] == "application/json"
    return json.loads(response.body)


def post(client: RawClient, target: str, body: bytes, method: str = "POST") -> RawResponse:
    client.send(f"{method} {target} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return client.response()


def test_health_is_ok(client: RawClient) -> None:
    response = client.ask("/health")
    assert (response.status, json_of(response)) == (200, {"status": "ok"})


def test_user_follows_from_its_id(client: RawClient) -> None:
    for _ in range(2):
        user = json_of(client.ask("/users/42"))
        assert user == {"id": 42, "name": "User 42", "email": "user42@example.com"}
    assert json_of(client.ask("/users/a%20b"))["id"] == "a b"
    assert client.ask("/users/42", "DELETE").status == 204
    assert json_of(post(client, "/users/42", b'{"name": "N", "id": 1}', "PATCH"))["name"] == "N"
    assert len(json_of(client.ask("/users"))) == 3


def test_created_users_have_ids_of_their_own(client: RawClient) -> None:
    answers = [post(client, "/users", b'{"name": "Ada", "age": 36}') for _ in range(3)]
    assert [answer.status for answer in answers] == [201] * 3
    created = [json_of(answer) for answer in answers]
    assert len({user["id"] for user in created}) == 3
    assert {user.pop("id") and json.dumps(user) for user in created} == {'{"name": "Ada", "age": 36}'}
    assert answers[0].headers["location"].startswith("/users/")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_creating_a_user_needs_a_json_object(client: RawClient, body: bytes) -> None:
    assert post(client, "/users", body).status == 400
    assert client.ask("/health").status == 200


def test_echo_mirrors_the_request(client: RawClient) -> None:
    client.send(
        b"PUT /echo?a=1&b=x%20y&a=2&empty= HTTP/1.1\r\nHost: h\r\nX-MiXed: One\r\nX-MiXed: Two\r\n"
        b"Content-Length: 5\r\n\r\nh\xc3\xa9ll"
    )
    assert json_of(client.response()) == {
        "method": "PUT",
        "target": "/echo?a=1&b=x%20y&a=2&empty=",
        "path": "/echo",
        "query": {"a": ["1", "2"], "b": ["x y"], "empty": [""]},
        "http_version": "1.1",
        "headers": [["Host", "h"], ["X-MiXed", "One"], ["X-MiXed", "Two"], ["Content-Length", "5"]],
        "body": "héll",
    }


def test_echo_of_bytes_that_are_no_text_is_base64(client: RawClient) -> None:
    body = bytes(range(256))
    seen = json_of(post(client, "/echo", body))
    assert seen["body"] is None
    assert base64.b64decode(seen["body_base64"]) == body


def test_echo_gives_the_headers_asked_for(client: RawClient) -> None:
    response = client.ask("/echo?response_header=X-One:1&response_header=Cache-Control:no-store")
    assert (response.headers["x-one"], response.headers["cache-control"]) == ("1", "no-store")
    for wrong in ("X-One", "X%20One:1", "X:a%0d%0aSet-Cookie:b", ":1"):
        assert client.ask(f"/echo?response_header={wrong}").status == 400


@pytest.mark.parametrize("delay_ms", ["20", "0.5"])
def test_delay_holds_the_answer(client: RawClient, delay_ms: str) -> None:
    for _ in range(3):
        started = time.monotonic()
        assert client.ask(f"/delay/{delay_ms}").status == 200
        assert time.monotonic() - started >= float(delay_ms) / 1000
    for wrong in ("x", "-1", "nan", "inf", "1e20", ""):
        assert client.ask(f"/delay/{wrong}").status == 400


@pytest.mark.parametrize("code", [200, 201, 204, 205, 302, 304, 400, 401, 404, 418, 429, 500, 503, 599])
def test_status_is_the_one_asked_for(client: RawClient, code: int) -> None:
    for _ in range(2):
        response = client.ask(f"/status/{code}")
        assert response.status == code
        assert ("content-length" in response.headers) == (code not in (204, 304))
        assert bool(response.body) == (code not in (204, 205, 304))
    assert client.ask("/health").status == 200


def test_redirecting_statuses_lead_to_health(client: RawClient) -> None:
    assert client.ask("/status/302").headers["location"] == "/health"


def test_interim_status_comes_before_a_final_one(client: RawClient) -> None:
    client.send(b"GET /status/103 HTTP/1.1\r\n\r\n")
    assert client.head().status == 103
    assert client.response().status == 200
    client.send(b"GET /status/101 HTTP/1.1\r\n\r\n")
    assert client.head().status == 101
    assert client.rest() == b""


@pytest.mark.parametrize("code", ["99", "600", "20", "abc", "", "0200"])
def test_status_out_of_range_is_refused(client: RawClient, code: str) -> None:
    assert client.ask(f"/status/{code}").status == 400


@pytest.mark.parametrize("text", ["0", "1", "1k", "16384", "16385", "65536", "1.5M"])
@pytest.mark.parametrize("route", ["bytes", "chunked"])
def test_bodies_have_the_size_asked_for(client: RawClient, route: str, text: str) -> None:
    size = {"1k": 1_000, "1.5M": 1_500_000}.get(text) or int(text)
    response = client.ask(f"/{route}/{text}")
    assert len(response.body) == size
    assert response.body == (b"0123456789abcdef" * (size // 16 + 1))[:size]
    assert ("content-length" in response.headers) == (route == "bytes")
    assert client.ask("/health").status == 200


@pytest.mark.parametrize("chunk", [1, 7, 65536])
def test_chunks_have_the_size_asked_for(client: RawClient, chunk: int) -> None:
    client.send(f"GET /chunked/100000?chunk={chunk} HTTP/1.1\r\n\r\n".encode())
    client.head()
    sizes = []
    while size := int(client.line(), 16):
        sizes.append(size)
        client.exactly(size)
        client.line()
    assert set(sizes[:-1]) <= {chunk}
    assert sum(sizes) == 100_000


@pytest.mark.parametrize("path", ["/bytes/x", "/bytes/-1", "/bytes/1.5", "/chunked/1?chunk=0", "/chunked/"])
def test_wrong_sizes_are_refused(client: RawClient, path: str) -> None:
    assert client.ask(path).status == 400


@pytest.mark.parametrize(("rate", "expected"), [("0.1", 100), ("0.333", 333), ("0", 0), ("1", 1000)])
def test_flaky_fails_for_exactly_its_share(target: TargetProcess, rate: str, expected: int) -> None:
    with RawClient(target.port) as one, RawClient(target.port) as two:
        statuses = [
            client.ask(f"/flaky?rate={rate}&status=502").status for _ in range(500) for client in (one, two)
        ]
    assert statuses.count(502) == expected
    assert statuses.count(200) == 1000 - expected


def test_flaky_failures_are_spread_evenly_and_start_anew_with_the_counters(target: TargetProcess) -> None:
    with RawClient(target.port) as client:
        for _ in range(2):
            statuses = [client.ask("/flaky?rate=0.25").status for _ in range(8)]
            assert statuses == [200, 200, 200, 503] * 2
            client.ask("/flaky?rate=0.25")
            target.reset()


@pytest.mark.parametrize("query", ["rate=2", "rate=x", "rate=-0.1", "rate=0.1&status=100", "rate=1e-9"])
def test_wrong_rates_are_refused(client: RawClient, query: str) -> None:
    assert client.ask(f"/flaky?{query}").status == 400


def test_stall_holds_until_the_window_ends(client: RawClient) -> None:
    """Half of every 100 ms: an answer takes no time or at most the rest of a window, and comes outside windows."""
    took_s, ends_s = [], []
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        started = time.monotonic()
        assert client.ask("/stall?every=100ms&for=50ms").status == 200
        ended = time.monotonic()
        if ended - started > 0.035:
            took_s.append(ended - started)
            ends_s.append(ended)
    # The last answer may come up to 50 ms behind the deadline, which makes room for an eleventh end of a window.
    assert 5 <= len(took_s) <= 11
    assert sorted(took_s)[len(took_s) // 2] == pytest.approx(0.05, abs=0.015)
    gaps = sorted(later - earlier for earlier, later in pairwise(ends_s))
    assert gaps[len(gaps) // 2] == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("query", ["every=1s&for=2s", "every=0&for=0", "every=x", "for=-1s"])
def test_wrong_windows_are_refused(client: RawClient, query: str) -> None:
    assert client.ask(f"/stall?{query}").status == 400


@pytest.mark.parametrize("delay_ms", [0, 0.2, 2, 20])
def test_truth_lies_between_the_delay_and_what_the_client_saw(client: RawClient, delay_ms: float) -> None:
    held_ms = []
    for _ in range(20):
        started_ns = time.monotonic_ns()
        response = client.ask(f"/truth?delay_ms={delay_ms}")
        took_ns = time.monotonic_ns() - started_ns
        held_ns = json_of(response)["held_ns"]
        assert delay_ms * 1e6 <= held_ns <= took_ns
        held_ms.append(held_ns / 1e6)
    assert sorted(held_ms)[10] < delay_ms + 3


def test_truth_without_a_query_does_not_hold(client: RawClient) -> None:
    assert client.ask("/truth").status == 200
    client.send(b"HEAD /truth HTTP/1.1\r\n\r\n")
    assert int(client.head().headers["content-length"]) > 0
    assert client.ask("/health").status == 200


@pytest.mark.parametrize("path", ["/", "/nope", "/health/x", "/healthy", "/truth/1", "/stats/x", "*"])
def test_what_is_not_there_is_404(client: RawClient, path: str) -> None:
    response = client.ask(path)
    assert response.status == 404
    assert "error" in json_of(response)
