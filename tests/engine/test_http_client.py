"""What a client sends, what it keeps of answers, and its figures: servers tell what they saw of it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from target_process import TargetProcess, running_target

from engine.http_harness import (
    OK,
    answering,
    both_engines,
    open_client,
    request,
    send,
    serving,
    transfers_only,
    user,
)
from perfcore.engine import curl_handle, response_keeping, wire_exchanges
from perfcore.engine.curl_handle import versions
from perfcore.engine.curl_options import USER_AGENT
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.samples import CONNECTED

pytestmark = both_engines


@pytest.fixture(scope="module")
def tls_target() -> Iterator[TargetProcess]:
    with running_target("--tls") as process:
        yield process


def echoed(url: str, **keys: Any) -> dict[str, Any]:
    """What the target saw of a request to its /echo."""
    with open_client() as client:
        exchange = send(client, user(), request(url + "/echo", keep_body=True, **keys))
        assert (exchange.error, exchange.status) == (0, 200)
        seen: dict[str, Any] = json.loads(exchange.body)
        return seen


# -- what is sent -------------------------------------------------------------------------------------------------


def test_a_plain_get_has_three_headers_and_nothing_implied(target: TargetProcess) -> None:
    seen = echoed(target.url)
    assert seen["method"] == "GET"
    assert seen["headers"] == [
        ["Host", f"127.0.0.1:{target.port}"],
        ["User-Agent", USER_AGENT],
        ["Accept", "*/*"],
    ]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("body", [None, b"", b"some \x00 bytes \xff", b"x" * 1_500_000])
def test_method_and_body_arrive_as_given_without_expect_or_content_type(
    target: TargetProcess, method: str, body: bytes | None
) -> None:
    if body is not None and len(body) > 1000 and method != "POST":
        return
    seen = echoed(target.url, method=method, body=body)
    names = [name.lower() for name, _ in seen["headers"]]
    assert seen["method"] == method
    assert not {"expect", "content-type", "transfer-encoding"} & set(names)
    if body is None:
        assert "content-length" not in names
    else:
        assert dict(map(tuple, seen["headers"]))["Content-Length"] == str(len(body))
        received = seen["body"].encode() if seen["body"] is not None else None
        assert received == body or (b"\xff" in body and seen["body_base64"])


def test_headers_arrive_in_order_with_empty_and_foreign_values(target: TargetProcess) -> None:
    lines = [
        "X-B: 2",
        "X-A: 1",
        "X-Empty: ",
        "X-Name: Zoë",
        "Content-Type: a/b",
        "User-Agent: mine",
        "Accept: ",
    ]
    seen = echoed(target.url, method="POST", body=b"x", headers=lines)
    given = [(name, value) for name, value in seen["headers"] if name not in ("Host", "Content-Length")]
    assert sorted(given) == sorted(
        [
            ("X-B", "2"),
            ("X-A", "1"),
            ("X-Empty", ""),
            ("X-Name", "Zoë".encode().decode("latin-1")),
            ("Content-Type", "a/b"),
            ("User-Agent", "mine"),
            ("Accept", ""),
        ]
    )
    assert [name for name, _ in given if name.startswith("X-")] == ["X-B", "X-A", "X-Empty", "X-Name"]


def test_the_environment_proxy_is_not_asked(target: TargetProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    assert echoed(target.url)["path"] == "/echo"


def test_only_http_and_https_are_spoken(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    with open_client() as client:
        assert send(client, user(), request(f"file://{tmp_path}/secret")).error != 0


def test_a_request_that_changes_is_sent_as_it_is_now(target: TargetProcess) -> None:
    with open_client() as client:
        exchange = user()
        for text in (b"one", b"three", b""):
            sent = request(target.url + "/echo?" + text.decode(), "POST", body=text, keep_body=True)
            seen = json.loads(send(client, exchange, sent).body)
            assert (seen["body"], seen["target"]) == (text.decode(), "/echo?" + text.decode())
    assert target.stats_when_closed()["connections"] == 1


# -- answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 205, 304, 301, 404, 500, 503, 100, 103])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_every_kind_of_answer_ends_and_leaves_the_connection_usable(
    target: TargetProcess, status: int, method: str
) -> None:
    expected = 200 if status < 200 else status
    with open_client() as client:
        exchange = user()
        sent = request(f"{target.url}/status/{status}", method, body=b"" if method == "POST" else None)
        flags = []
        for _ in range(3):
            send(client, exchange, sent)
            assert (exchange.error, exchange.status, exchange.attempts) == (0, expected, 1)
            flags.append(exchange.flags)
        assert flags == [CONNECTED, 0, 0]
    counted = target.stats_when_closed()
    assert (counted["requests"], counted["connections"]) == (3, 1)


def test_head_does_not_wait_for_the_body_it_announces(target: TargetProcess) -> None:
    with open_client() as client:
        for body in (None, b"abc"):
            exchange = user()
            for _ in range(2):
                send(client, exchange, request(f"{target.url}/bytes/100000", "HEAD", body=body))
                assert (exchange.error, exchange.status) == (0, 200)
                assert exchange.received_bytes < 1000


def test_a_redirect_is_not_followed_but_told(target: TargetProcess) -> None:
    with open_client() as client:
        exchange = send(client, user(), request(f"{target.url}/status/302"))
        assert exchange.status == 302
        assert client.location(exchange) == f"{target.url}/health"
        assert client.location(send(client, user(2), request(f"{target.url}/health"))) is None


def test_a_location_of_odd_bytes_is_told_and_no_exception() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: /zo\xff\xc3\xab\r\nContent-Length: 0\r\n\r\n"
    with serving(answering(answer)) as server, open_client() as client:
        exchange = send(client, user(), request(server.url, keep_headers=True))
        assert (client.location(exchange) or "").startswith(server.url + "/zo")
        assert exchange.headers["location"].startswith("/zo")


def test_bodies_and_headers_are_kept_only_where_asked(target: TargetProcess) -> None:
    url = f"{target.url}/echo?response_header=X-A:1&response_header=X-A:2"
    with open_client() as client:
        for body, headers in ((False, False), (True, False), (False, True), (True, True)):
            asked = request(url, keep_body=body, keep_headers=headers)
            exchange = send(client, user(), asked)
            assert exchange.body, "the first is kept, as a sample"
            assert exchange.headers["x-a"] == "1, 2"
            send(client, exchange, asked)
            assert bool(exchange.body) == body
            assert bool(exchange.headers) == headers
            if headers:
                assert exchange.headers["x-a"] == "1, 2"


def test_headers_of_an_interim_answer_are_not_those_of_the_answer() -> None:
    answer = b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n" + OK
    with serving(answering(answer)) as server, open_client() as client:
        exchange = send(client, user(), request(server.url, keep_headers=True, keep_body=True))
        assert (exchange.headers, exchange.body) == ({"content-length": "2"}, b"ok")


def test_a_kept_body_is_bounded_and_the_rest_counted(
    target: TargetProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response_keeping, "BODY_LIMIT", 100_000)
    monkeypatch.setattr(curl_handle, "BODY_LIMIT", 100_000)
    monkeypatch.setattr(wire_exchanges, "BODY_LIMIT", 100_000)
    with open_client() as client:
        exchange = user()
        for size in (400_000, 50_000):
            send(client, exchange, request(f"{target.url}/bytes/{size}", keep_body=True))
            assert len(exchange.body) == min(size, 100_000)
            assert exchange.received_bytes > size
        assert exchange.body == (b"0123456789abcdef" * 4000)[:50_000]


@pytest.mark.parametrize("path", ["/bytes/5000000", "/chunked/5000000"])
def test_a_large_body_over_tls_arrives_whole(tls_target: TargetProcess, path: str) -> None:
    with open_client() as client:
        exchange = user()
        for _ in range(2):
            sent = request(tls_target.url + path, keep_body=True, tls_ca=tls_target.ca_file)
            send(client, exchange, sent)
            assert (exchange.error, len(exchange.body)) == (0, 5_000_000)
        assert exchange.flags == 0


@pytest.mark.parametrize("asked", [{"keep_body": True}, {"keep_headers": True}, {}])
def test_after_a_failure_the_next_answer_is_kept_whole_whatever_is_kept_anyway(
    target: TargetProcess, asked: dict[str, bool]
) -> None:
    with open_client() as client:
        exchange, sent = user(), request(f"{target.url}/health", **asked)
        for _ in range(3):
            send(client, exchange, sent)
        for _ in range(2):
            client.keep_next(exchange)
            send(client, exchange, sent)
            assert exchange.headers["content-type"] == "application/json"
            assert exchange.body == b'{"status": "ok"}'


# -- bytes and phases ---------------------------------------------------------------------------------------------


def test_bytes_equal_what_the_server_measured_on_its_socket() -> None:
    answers = (OK, b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"HTTP/1.1 204 No Content\r\n\r\n")
    for method, body in (("GET", None), ("POST", b"x" * 100_000), ("POST", b""), ("DELETE", None)):
        for headers in ([], ["X-A: " + "a" * 300, "X-Empty: "]):
            with serving(answering(*answers)) as server, open_client() as client:
                exchange = user()
                sent = request(server.url + "/path?q=1", method, headers=headers, body=body)
                total_sent = total_received = 0
                for _ in range(4):
                    send(client, exchange, sent)
                    assert exchange.error == 0
                    total_sent += exchange.sent_bytes
                    total_received += exchange.received_bytes
                (connection,) = server.connections
                assert total_sent == connection.received
                assert total_received == connection.sent


def test_connecting_is_told_for_new_connections_only(target: TargetProcess) -> None:
    with open_client() as client:
        exchange = send(client, user(), request(target.url + "/health"))
        assert exchange.flags == CONNECTED
        assert exchange.connect_us > 0
        assert exchange.tls_us == 0
        send(client, exchange, request(target.url + "/health"))
        assert (exchange.flags, exchange.dns_us, exchange.connect_us, exchange.tls_us) == (0, 0, 0, 0)


def test_tls_is_a_phase_of_its_own(tls_target: TargetProcess) -> None:
    sent = request(tls_target.url + "/health", tls_ca=tls_target.ca_file)
    with open_client() as client:
        exchange = send(client, user(), sent)
        assert exchange.error == 0
        # A handshake computes on both sides: never less than a tenth of a millisecond.
        assert exchange.tls_us > 100
        assert exchange.connect_us > 0
        send(client, exchange, sent)
        assert (exchange.flags, exchange.tls_us) == (0, 0)


def test_the_phases_add_up_to_the_service_time(target: TargetProcess, tls_target: TargetProcess) -> None:
    with open_client() as client:
        for server in (target, tls_target):
            exchange = user()
            for path in ("/delay/30", "/delay/30", "/bytes/1000000"):
                before = time.monotonic_ns()
                send(client, exchange, request(server.url + path, tls_ca=server.ca_file))
                after = time.monotonic_ns()
                assert before <= exchange.issued_ns <= exchange.done_ns <= after
                service_us = (exchange.done_ns - exchange.issued_ns) // 1000
                phases = exchange.dns_us + exchange.connect_us + exchange.tls_us + exchange.ttfb_us
                assert 0 < phases <= service_us + 5
                if "delay" in path:
                    assert 29_000 < exchange.ttfb_us <= service_us


# -- what is told of clients themselves -----------------------------------------------------------------------------


@transfers_only("no client is used")
def test_the_libraries_are_named_with_their_versions() -> None:
    named = versions()
    assert set(named) == {"libcurl", "pycurl", "tls"}
    assert all(value[0].isdigit() for value in (named["libcurl"], named["pycurl"]))


@transfers_only("no client is used")
def test_every_error_kind_of_a_transport_is_known() -> None:
    assert {"dns", "refused", "tls", "reset", "closed", "truncated", "timeout"} <= set(ERROR_KINDS)
