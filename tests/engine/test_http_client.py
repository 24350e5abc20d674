"""HttpClient against servers that count for themselves what they saw."""

import contextlib
import json
import os
import resource
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.runs import run_python
from target_process import ROOT, TargetProcess, running_target

from engine.http_harness import (
    OK,
    Connection,
    answering,
    authority,
    both_engines,
    finish,
    open_client,
    request,
    send,
    serving,
    transfers_only,
    until,
    user,
    wire_only,
)
from perfcore.engine import curl_handle, response_keeping, wire_exchanges
from perfcore.engine.curl_handle import versions
from perfcore.engine.curl_options import USER_AGENT
from perfcore.engine.transfer_users import USERS_PER_SHARD
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.samples import CONNECTED, RESENT

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


# -- connections --------------------------------------------------------------------------------------------------


def test_every_user_has_a_connection_of_its_own_and_keeps_it(target: TargetProcess) -> None:
    users = 200  # in several shards
    assert users > 2 * USERS_PER_SHARD
    sent = request(target.url + "/health")
    with open_client() as client:
        exchanges = [user(number) for number in range(users)]
        for _ in range(3):
            for exchange in exchanges:
                client.start(exchange, sent)
            assert len({id(exchange) for exchange in finish(client, users)}) == users
            assert client.in_flight == 0
        assert {exchange.error for exchange in exchanges} == {0}
        counted = target.stats()
        assert (counted["requests"], counted["connections"]) == (3 * users, users)
    target.stats_when_closed()


def test_users_that_take_turns_do_not_share_connections(target: TargetProcess) -> None:
    # As with think time: never two under way at once, so that a common pool would serve all with one connection.
    sent = request(target.url + "/health")
    with open_client() as client:
        exchanges = [user(number) for number in range(50)]
        for _ in range(2):
            for exchange in exchanges:
                send(client, exchange, sent)
        assert target.stats()["open_connections"] == 50
        assert target.stats()["connections"] == 50


def test_without_keepalive_every_request_has_its_own_connection(target: TargetProcess) -> None:
    with open_client() as client:
        exchange = user()
        for _ in range(5):
            send(client, exchange, request(target.url + "/health", keepalive=False))
            assert exchange.flags == CONNECTED
        counted = target.stats_when_closed()
        assert (counted["connections"], counted["requests"]) == (5, 5)


def test_connection_close_is_obeyed(target: TargetProcess) -> None:
    with open_client() as client:
        exchange = user()
        for _ in range(3):
            send(client, exchange, request(target.url + "/health", headers=["Connection: close"]))
            assert (exchange.error, exchange.flags, exchange.attempts) == (0, CONNECTED, 1)
    assert target.stats_when_closed()["connections"] == 3


def closes_after_each(connection: Connection) -> None:
    connection.read_request()
    connection.send(OK)


def test_a_connection_closed_while_idle_is_replaced_and_does_not_keep_the_loop_busy() -> None:
    with serving(closes_after_each) as server, open_client() as client:
        exchange = user()
        sent = request(server.url)
        for round_ in range(1, 4):
            send(client, exchange, sent)
            assert (exchange.error, exchange.flags, exchange.attempts) == (0, CONNECTED, 1)
            assert len(server.connections) == round_
            connection = server.connections[-1]
            until(lambda connection=connection: connection.socket.fileno() < 0)
            cpu_before, deadline, polls = time.thread_time(), time.monotonic() + 0.1, 0
            while time.monotonic() < deadline:
                assert client.poll(0.05) == []
                polls += 1
            # Level-triggered readiness that nobody consumes would come back thousands of times.
            assert polls < 40
            assert time.thread_time() - cpu_before < 0.05


def closing_instead_of_the_third_answer(seen: list[bytes]) -> Callable[[Connection], None]:
    def serve(connection: Connection) -> None:
        while (received := connection.read_request()) is not None:
            seen.append(received)
            if connection.number == 1 and len(seen) == 3:
                return
            connection.send(OK)

    return serve


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("PUT", b"once?"), ("PUT", b"x" * 50_000)])
def test_a_request_that_is_sent_again_is_told_with_its_attempts(method: str, body: bytes | None) -> None:
    assert_the_third_is_sent_again(method, body)


@transfers_only("the wire path sends again only what is idempotent")
def test_libcurl_sends_a_post_again() -> None:
    assert_the_third_is_sent_again("POST", b"once?")


def assert_the_third_is_sent_again(method: str, body: bytes | None) -> None:
    seen: list[bytes] = []
    with serving(closing_instead_of_the_third_answer(seen)) as server, open_client() as client:
        exchange = user()
        sent = request(server.url, method, body=body)
        results = []
        for _ in range(5):
            send(client, exchange, sent)
            assert (exchange.error, exchange.status) == (0, 200)
            results.append((exchange.attempts, exchange.flags))
        assert results == [(1, CONNECTED), (1, 0), (2, CONNECTED | RESENT), (1, 0), (1, 0)]
        assert sum(attempts for attempts, _ in results) == len(seen) == 6
        assert len(server.connections) == 2


@wire_only("libcurl transfers send a POST again")
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_is_not_idempotent_is_not_sent_again(method: str) -> None:
    seen: list[bytes] = []
    with serving(closing_instead_of_the_third_answer(seen)) as server, open_client() as client:
        exchange = user()
        sent = request(server.url, method, body=b"once!")
        results = []
        for _ in range(5):
            send(client, exchange, sent)
            results.append((ERROR_KINDS[exchange.error], exchange.attempts, exchange.flags))
        assert results == [("", 1, CONNECTED), ("", 1, 0), ("closed", 1, 0), ("", 1, CONNECTED), ("", 1, 0)]
        assert (len(seen), len(server.connections)) == (5, 2)


@wire_only("libcurl transfers send again as often as they meet an end")
def test_on_the_wire_a_request_is_sent_again_only_once() -> None:
    def serve(connection: Connection) -> None:
        if connection.number == 1 and connection.read_request() is not None:
            connection.send(OK)
        connection.read_request()  # and no answer

    with serving(serve) as server, open_client() as client:
        exchange, sent = user(), request(server.url)
        assert send(client, exchange, sent).error == 0
        send(client, exchange, sent)
        assert (ERROR_KINDS[exchange.error], exchange.attempts, exchange.connections) == ("closed", 2, 1)
        assert len(server.connections) == 2


def test_bodies_of_different_sizes_are_no_resends() -> None:
    with serving(answering(OK)) as server, open_client() as client:
        exchange = user()
        total = 0
        for size in (0, 3, 1000, 100_000, 50, 2_000_000, 7):
            send(client, exchange, request(server.url, "POST", body=b"x" * size))
            assert (exchange.error, exchange.attempts, exchange.flags & RESENT) == (0, 1, 0)
            total += exchange.sent_bytes
            assert server.connections[0].received == total


def test_a_connection_that_says_something_while_idle_is_not_used_again() -> None:
    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK)
        if connection.number == 1:
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nunasked"[:-1])
        connection.wait_for_end()

    with serving(serve) as server, open_client() as client:
        exchange = user()
        send(client, exchange, request(server.url, keep_body=True))
        first = exchange.body
        deadline = time.monotonic() + 0.05
        while time.monotonic() < deadline:
            client.poll(0.01)
        if first == b"ok":
            send(client, exchange, request(server.url, keep_body=True))
        assert (exchange.error, exchange.body) == (0, b"ok")


def test_cut_closes_the_connection_and_says_no_more_of_it() -> None:
    with serving(answering(OK, b"")) as server, open_client() as client:
        exchange, other = user(1), user(2)
        send(client, exchange, request(server.url))
        send(client, other, request(server.url))
        client.start(exchange, request(server.url))
        client.poll(0.02)
        assert client.in_flight == 1
        client.cut(exchange)
        assert client.in_flight == 0
        server.connections[0].wait_for_end()
        assert client.poll(0.02) == []
        client.cut(exchange)  # nothing under way: nothing happens
        client.cut(user(3))
        assert client.in_flight == 0


def test_a_user_that_was_cut_can_be_used_again() -> None:
    def serve(connection: Connection) -> None:
        connection.read_request()
        if connection.number > 1:
            connection.send(OK)
        connection.wait_for_end()

    with serving(serve) as server, open_client() as client:
        exchange = user()
        client.start(exchange, request(server.url))
        until(lambda: bool(server.connections) and not client.poll(0.01))
        client.cut(exchange)
        send(client, exchange, request(server.url))
        assert (exchange.error, exchange.flags) == (0, CONNECTED)


# -- waiting ------------------------------------------------------------------------------------------------------


def test_a_poll_without_work_waits_as_long_as_asked_and_no_longer() -> None:
    with open_client() as client:
        begin = time.monotonic()
        assert client.poll(0) == []
        assert time.monotonic() - begin < 1
        begin = time.monotonic()
        assert client.poll(0.05) == []
        assert 0.045 < time.monotonic() - begin < 5


def test_waiting_for_a_slow_answer_costs_no_cpu(target: TargetProcess) -> None:
    with open_client() as client:
        exchanges = [user(number) for number in range(100)]
        sent = request(target.url + "/delay/400")
        for exchange in exchanges:
            client.start(exchange, sent)
        finish_connecting = time.monotonic() + 0.2
        while time.monotonic() < finish_connecting:
            assert client.poll(0.02) == []
        cpu_before, polls, done = time.thread_time(), 0, []
        while not done:
            done += client.poll(1.0)
            polls += 1
            assert polls < 500
        assert time.thread_time() - cpu_before < 0.1
        finish(client, 100 - len(done))


# -- the process --------------------------------------------------------------------------------------------------


def descriptors() -> list[str]:
    told = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            told.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(told)


def test_close_leaves_no_descriptor_open(target: TargetProcess, tmp_path: Path) -> None:
    context, ca = authority(tmp_path)
    assert isinstance(context, ssl.SSLContext)
    with serving(answering(OK), context) as secure, serving(answering(OK, b"")) as silent:
        for url in (target.url + "/health", secure.url, silent.url):
            before = len(descriptors())
            with open_client() as client:
                exchanges = [user(number) for number in range(60)]
                sent = request(url, tls_ca=ca)
                for exchange in exchanges:
                    client.start(exchange, sent)
                finish(client, 60)
                for exchange in exchanges[:30]:
                    client.start(exchange, sent)  # under way when it is closed
                client.poll(0.01)
                assert len(descriptors()) > before + 60
            # The server's ends are in this process too, where it is a thread.
            until(lambda before=before: len(descriptors()) <= before)
    assert target.stats_when_closed()["open_connections"] == 0


MANY = """
import os, resource, sys
sys.path[:0] = ["tests"]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
from engine.http_harness import finish, open_client, request, user
with open_client(sys.argv[2]) as client:
    sent = request(sys.argv[1] + "/health")
    exchanges = [user(number) for number in range(1100)]
    done = []
    for _ in range(2):
        for exchange in exchanges:
            client.start(exchange, sent)
            if client.in_flight >= 200:
                done += finish(client, 1)
        done += finish(client, client.in_flight)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
print(len(done), sum(bool(exchange.error) for exchange in exchanges), highest > 1100)
"""


def test_descriptors_beyond_1023_work(target: TargetProcess, engine: str) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3000:
        pytest.skip("needs 3,000 descriptors (ulimit -Hn)")
    child = run_python(ROOT, MANY, target.url, engine)
    assert child.stdout.split() == ["2200", "0", "True"], child.stderr
    counted = target.stats_when_closed()
    assert (counted["requests"], counted["connections"]) == (2200, 1100)


@transfers_only("no client is used")
def test_the_libraries_are_named_with_their_versions() -> None:
    named = versions()
    assert set(named) == {"libcurl", "pycurl", "tls"}
    assert all(value[0].isdigit() for value in (named["libcurl"], named["pycurl"]))


@transfers_only("no client is used")
def test_every_error_kind_of_a_transport_is_known() -> None:
    assert {"dns", "refused", "tls", "reset", "closed", "truncated", "timeout"} <= set(ERROR_KINDS)


def test_what_ended_while_it_was_started_is_in_flight_until_it_is_handed_back() -> None:
    with open_client() as client:
        exchange = user()
        client.start(exchange, request("http://127.0.0.1:1/"))  # refused within connect()
        assert client.in_flight == 1
        assert finish(client, 1) == [exchange]
        assert client.in_flight == 0
        assert exchange.issued_ns <= exchange.done_ns


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
