"""Every way in which a server, or the way to it, can fail: a counted kind, never an exception."""

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.http_harness import (
    OK,
    Connection,
    answering,
    authority,
    both_engines,
    descriptor_of,
    finish,
    open_client,
    request,
    send,
    serving,
    until,
    user,
)
from perfcore.engine.poller import is_readable
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.samples import CONNECTED, RESENT

pytestmark = both_engines

PART = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def outcome(sent: Request) -> Exchange:
    with open_client() as client:
        return send(client, user(), sent)


def kind(sent: Request) -> str:
    return ERROR_KINDS[outcome(sent).error]


def sends(data: bytes, *, then_reset: bool = False) -> Callable[[Connection], None]:
    """Reads a request, sends this, and closes."""

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(data)
        if then_reset:
            # What was sent has to be there before the RST, which throws away what is still under way.
            time.sleep(0.05)
            connection.reset()

    return serve


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    return authority(tmp_path_factory.mktemp("ca"))


# -- no connection ------------------------------------------------------------------------------------------------


def test_a_port_that_nobody_listens_on_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    exchange = outcome(request(f"http://127.0.0.1:{port}/"))
    assert ERROR_KINDS[exchange.error] == "refused"
    assert (exchange.status, exchange.flags, exchange.received_bytes, exchange.sent_bytes) == (0, 0, 0, 0)
    assert exchange.error_text


def test_refusals_go_on_being_told_one_after_the_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    refused = request(f"http://127.0.0.1:{port}/")
    with open_client() as client:
        exchanges = [user(number) for number in range(100)]
        for _ in range(3):
            for exchange in exchanges:
                client.start(exchange, refused)
            ended = finish(client, 100)
            assert {ERROR_KINDS[exchange.error] for exchange in ended} == {"refused"}
            assert client.in_flight == 0


def test_a_name_that_does_not_resolve_is_dns() -> None:
    exchange = outcome(request("http://nonexistent.invalid/"))
    assert ERROR_KINDS[exchange.error] == "dns"
    assert exchange.flags == 0


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose accept queue is full: the kernel drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port


@pytest.mark.parametrize("limits", [{"connect_timeout_s": 0.2}, {"timeout_s": 0.2}])
def test_a_connection_that_is_never_accepted_is_a_connect_timeout(limits: dict[str, float]) -> None:
    with deaf_port() as port:
        exchange = outcome(request(f"http://127.0.0.1:{port}/", **limits))
    assert ERROR_KINDS[exchange.error] == "connect_timeout"
    assert 0.15 < (exchange.done_ns - exchange.issued_ns) / 1e9 < 10
    assert (exchange.flags, exchange.sent_bytes, exchange.ttfb_us, exchange.connect_us) == (0, 0, 0, 0)


# -- a connection that breaks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serve", "expected"),
    [
        (sends(b""), "closed"),
        (sends(b"", then_reset=True), "reset"),
        (sends(PART), "truncated"),
        (sends(PART, then_reset=True), "reset"),
        (sends(CHUNKED + b"5\r\nab"), "truncated"),
        (sends(CHUNKED + b"5\r\nabcde\r\n"), "truncated"),
        (answering(CHUNKED + b"zz\r\n"), "bad_response"),
        (answering(b"garbage\r\n\r\n"), "bad_response"),
        (answering(b"\xff\xfe\x00\xe4\r\n\r\n"), "bad_response"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "bad_response"),
        (answering(b"HTTP/1.1 2\xffx OK\r\n\r\n"), "bad_response"),
        (answering(b"HTTP/1.1 000 Zero\r\nContent-Length: 0\r\n\r\n"), "bad_response"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: \xff\r\n\r\n"), "bad_response"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc"), "bad_response"),
        (answering(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 400_000 + b"\r\n\r\n"), "bad_response"),
        (answering(b"HTTP/1.1 200 OK\r\nX\x00: a\r\n\r\n"), "bad_response"),
    ],
)
def test_a_broken_answer_is_of_its_kind(serve: Callable[[Connection], None], expected: str) -> None:
    with serving(serve) as server:
        exchange = outcome(request(server.url, keep_body=True, keep_headers=True))
    assert ERROR_KINDS[exchange.error] == expected
    assert exchange.status == 0
    assert exchange.attempts == 1
    assert exchange.flags == CONNECTED
    assert exchange.error_text


def test_garbage_on_a_kept_connection_is_a_bad_response_too() -> None:
    with serving(answering(OK, b"garbage\r\n\r\n")) as server, open_client() as client:
        exchange = user()
        assert send(client, exchange, request(server.url)).error == 0
        assert ERROR_KINDS[send(client, exchange, request(server.url)).error] == "bad_response"


def test_a_status_of_three_digits_is_passed_on_whatever_it_is() -> None:
    with serving(answering(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n")) as server:
        exchange = outcome(request(server.url))
    assert (exchange.error, exchange.status) == (0, 999)


def test_a_failed_answer_leaves_nothing_to_the_next_one() -> None:
    def serve(connection: Connection) -> None:
        connection.read_request()
        if connection.number == 1:
            connection.send(b"HTTP/1.1 200 OK\r\nX-Old: 1\r\nContent-Length: 100\r\n\r\nleftover")
        else:
            connection.send(OK)

    with serving(serve) as server, open_client() as client:
        asked = request(server.url, keep_body=True, keep_headers=True)
        exchange = send(client, user(), asked)
        assert ERROR_KINDS[exchange.error] == "truncated"
        # What did come is there for whoever wants to show the failure.
        assert (exchange.body, exchange.headers["x-old"]) == (b"leftover", "1")
        send(client, exchange, asked)
        assert (exchange.error, exchange.status) == (0, 200)
        assert (exchange.body, exchange.headers) == (b"ok", {"content-length": "2"})


def test_a_failure_without_an_answer_shows_nothing_of_the_answer_before_it() -> None:
    with serving(answering(OK, b"")) as server, open_client() as client:
        exchange = send(client, user(), request(server.url, keep_body=True, keep_headers=True))
        assert exchange.body == b"ok"
        send(client, exchange, request(server.url, keep_body=True, keep_headers=True, timeout_s=0.1))
        assert ERROR_KINDS[exchange.error] == "timeout"
        assert (exchange.body, exchange.headers, exchange.received_bytes) == (b"", {}, 0)


def test_a_user_goes_on_after_a_failure_with_a_new_connection() -> None:
    def serve(connection: Connection) -> None:
        connection.read_request()
        if connection.number % 2:
            connection.send(PART)
        else:
            connection.send(OK)
            connection.wait_for_end()

    with serving(serve) as server, open_client() as client:
        exchange = user()
        kinds = [ERROR_KINDS[send(client, exchange, request(server.url)).error] for _ in range(2)]
        assert kinds == ["truncated", ""]
        assert len(server.connections) == 2


# -- time-outs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", PART, CHUNKED + b"1\r\na\r\n"])
def test_an_answer_that_does_not_end_is_a_timeout(answer: bytes) -> None:
    with serving(answering(answer)) as server:
        exchange = outcome(request(server.url, timeout_s=0.2))
        (connection,) = server.connections
        # Given up by closing: nobody else may get the rest of this answer.
        connection.wait_for_end()
    assert ERROR_KINDS[exchange.error] == "timeout"
    assert 0.15 < (exchange.done_ns - exchange.issued_ns) / 1e9 < 10
    assert exchange.status == 0
    assert exchange.flags == CONNECTED


def test_a_connection_that_timed_out_is_not_used_again() -> None:
    def serve(connection: Connection) -> None:
        while connection.read_request() is not None:
            if connection.number > 1:
                connection.send(OK)

    with serving(serve) as server, open_client() as client:
        exchange = user()
        assert ERROR_KINDS[send(client, exchange, request(server.url, timeout_s=0.15)).error] == "timeout"
        send(client, exchange, request(server.url))
        assert (exchange.error, exchange.status, exchange.flags) == (0, 200, CONNECTED)
        assert len(server.connections) == 2


def test_many_users_time_out_each_at_its_own_time() -> None:
    with serving(answering(b"")) as server, open_client() as client:
        asked = request(server.url, timeout_s=0.3)
        exchanges = [user(number) for number in range(90)]
        for exchange in exchanges:
            client.start(exchange, asked)
        finish(client, 90)
        assert {ERROR_KINDS[exchange.error] for exchange in exchanges} == {"timeout"}
        assert min(exchange.done_ns - exchange.issued_ns for exchange in exchanges) > 0.25e9


# -- TLS ----------------------------------------------------------------------------------------------------------


def test_a_certificate_that_nobody_trusts_is_tls(tls: tuple[ssl.SSLContext, Path]) -> None:
    context, ca = tls
    with serving(answering(OK), context) as server:
        assert kind(request(server.url)) == "tls"
        assert kind(request(server.url, tls_ca=ca)) == ""
        assert kind(request(server.url, tls_verify=False)) == ""


def test_a_certificate_for_another_name_is_tls(tls: tuple[ssl.SSLContext, Path]) -> None:
    context, ca = tls
    with serving(answering(OK), context) as server:
        assert kind(request(server.url.replace("127.0.0.1", "127.0.0.2"), tls_ca=ca)) in ("tls", "refused")
        assert kind(request(server.url.replace("127.0.0.1", "localhost"), tls_ca=ca)) == ""


def test_https_to_a_server_that_speaks_http_is_tls() -> None:
    def serve(connection: Connection) -> None:
        connection.socket.recv(65536)
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serving(serve) as server:
        assert kind(request(server.url.replace("http:", "https:"))) == "tls"


def test_http_to_a_server_that_speaks_tls_fails(tls: tuple[ssl.SSLContext, Path]) -> None:
    context, _ = tls
    with serving(answering(OK), context) as server:
        assert kind(request(server.url.replace("https:", "http:"))) in ("closed", "reset", "bad_response")


def test_a_handshake_that_breaks_off_is_tls() -> None:
    for serve in (lambda c: c.socket.recv(9), lambda c: (c.socket.recv(65536), c.reset())):
        with serving(serve) as server:  # type: ignore[arg-type]
            assert kind(request(server.url.replace("http:", "https:"))) == "tls"


def test_a_handshake_without_an_answer_is_a_connect_timeout() -> None:
    with serving(lambda connection: connection.wait_for_end()) as server:
        sent = request(server.url.replace("http:", "https:"), connect_timeout_s=0.2)
        assert kind(sent) == "connect_timeout"


def test_a_server_that_misses_the_certificate_of_the_client_is_tls(tmp_path: Path) -> None:
    import trustme

    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    client_pair = ca.issue_cert("client@example.com")
    client_pair.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "client.pem"))
    with serving(answering(OK), context) as server:
        # The alert is lost when the server's RST, for the request that it did not read, overtakes it.
        assert kind(request(server.url, tls_ca=tmp_path / "ca.pem")) in ("tls", "reset")
        with_it = request(server.url, tls_ca=tmp_path / "ca.pem", tls_cert=tmp_path / "client.pem")
        assert kind(with_it) == ""
        wrong = request(server.url, tls_ca=tmp_path / "ca.pem", tls_cert=tmp_path / "ca.pem")
        assert kind(wrong) == "tls"


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", "closed"), (PART, "truncated"), (CHUNKED + b"5\r\nab", "truncated")]
)
def test_tls_that_ends_without_a_goodbye(
    tls: tuple[ssl.SSLContext, Path], data: bytes, expected: str
) -> None:
    context, ca = tls

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(data)
        os.close(connection.socket.detach())

    with serving(serve, context) as server:
        assert kind(request(server.url, tls_ca=ca)) == expected


def test_an_answer_cut_within_its_head_is_truncated() -> None:
    with serving(sends(b"HTTP/1.1 200 OK\r\nContent-Le")) as server, open_client() as client:
        exchange = user()
        for _ in range(3):
            send(client, exchange, request(server.url))
            assert (ERROR_KINDS[exchange.error], exchange.status) == ("truncated", 0)


def test_an_empty_answer_that_ends_with_its_connection_is_whole() -> None:
    whole = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n"
    with serving(sends(whole)) as server, open_client() as client:
        exchange = user()
        for _ in range(3):
            send(client, exchange, request(server.url))
            assert (exchange.error, exchange.status) == (0, 200)


def test_a_server_that_closes_after_each_answer_without_saying_so_costs_few_resends(engine: str) -> None:
    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK)

    with serving(serve) as server, open_client() as client:
        exchange = user()
        attempts = 0
        for _ in range(60):
            send(client, exchange, request(server.url))
            assert exchange.error == 0
            attempts += exchange.attempts
            # The end has come, and the next request starts before the client has looked at it.
            fd = descriptor_of(exchange)
            until(lambda fd=fd: fd < 0 or is_readable(fd))
        # The wire path looks at every kept connection before it sends.
        assert attempts == 60 if engine == "wire" else 60 < attempts <= 62


def test_a_refused_upload_is_one_attempt_however_much_of_it_was_sent() -> None:
    def serve(connection: Connection) -> None:
        connection.socket.recv(100_000)
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with serving(serve) as server, open_client() as client:
        exchange = user()
        for size in (4_000_000, 10, 4_000_000, 4_000_000):
            send(client, exchange, request(server.url, "POST", body=b"x" * size))
            assert (exchange.attempts, exchange.flags & RESENT) == (1, 0)
