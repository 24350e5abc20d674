"""TLS on the wire path: records, what is said beside the answers, and how such a connection ends."""

import itertools
import os
import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme
from waiting import WAIT_S

from engine.http_harness import (
    OK,
    Connection,
    both_engines,
    descriptor_of,
    open_client,
    request,
    send,
    serving,
    until,
    user,
    wire_only,
)
from engine.http_harness import authority as make_authority
from perfcore.engine import wire_connection
from perfcore.engine.wire_users import BUFFER_BYTES
from perfcore.metrics.outcomes import ERROR_KINDS
from perfcore.metrics.samples import CONNECTED

pytestmark = both_engines

Authority = tuple[ssl.SSLContext, Path]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("ca"))


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def say_goodbye(connection: Connection) -> None:
    """The end of TLS without that of the socket."""
    sock = connection.socket
    assert isinstance(sock, ssl.SSLSocket)
    sock.settimeout(0.0)
    with pytest.raises(ssl.SSLWantReadError):
        sock.unwrap()


# A record holds 16,384 bytes, the buffer is four of them.
@pytest.mark.parametrize(
    "size",
    [0, 1, 16_383, 16_384, 16_385, 40_000, BUFFER_BYTES - 60, BUFFER_BYTES, BUFFER_BYTES + 1, 1_000_003],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_answers_of_any_size_arrive_whole(tls: Authority, size: int, at_once: bool) -> None:
    context, ca = tls
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]

    def serve(connection: Connection) -> None:
        while connection.read_request() is not None:
            whole = answer(body)
            for part in (whole,) if at_once else (whole[:39], whole[39:]):
                connection.send(part)

    with serving(serve, context) as server, open_client() as client:
        exchange, sent = user(), request(server.url, tls_ca=ca, keep_body=True)
        for turn in range(3):
            send(client, exchange, sent)
            assert (exchange.error, exchange.body == body) == (0, True)
            assert exchange.received_bytes == len(answer(body))
            assert exchange.flags == (0 if turn else CONNECTED)
        assert len(server.connections) == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_after_the_handshake_are_nothing_that_was_said(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    context, ca = make_authority(tmp_path)
    context.minimum_version = context.maximum_version = version
    with serving(lambda connection: serve_plainly(connection), context) as server, open_client() as client:
        exchange, sent = user(), request(server.url, tls_ca=ca)
        for turn in range(4):
            send(client, exchange, sent)
            assert (exchange.error, exchange.flags) == (0, 0 if turn else CONNECTED)
            for _ in range(3):
                assert client.poll(0.0) == []
        assert len(server.connections) == 1


def serve_plainly(connection: Connection) -> None:
    while connection.read_request() is not None:
        connection.send(OK)


@wire_only("transfers hide the tickets of a connection that was made beforehand")
def test_tickets_on_a_connection_made_beforehand_are_read_and_it_is_used(tls: Authority) -> None:
    context, ca = tls
    assert context.num_tickets == 2
    with serving(serve_plainly, context) as server, open_client() as client:
        sent = request(server.url, tls_ca=ca, preconnect=True)
        client.preconnect(0, ((number, sent) for number in range(1, 30)), 20.0)
        for _ in range(20):
            client.poll(0.0)
        for number in range(1, 30):
            exchange = send(client, user(number), sent)
            assert (exchange.error, exchange.flags, exchange.attempts, exchange.connections) == (0, 0, 1, 1)
        assert len(server.connections) == 29


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_goodbye_without_the_end_of_the_socket_ends_the_connection(tls: Authority, method: str) -> None:
    context, ca = tls

    def serve(connection: Connection) -> None:
        connection.read_request()
        connection.send(OK)
        say_goodbye(connection)
        connection.socket.settimeout(20)
        while os.read(connection.socket.fileno(), 1000):
            pass

    with serving(serve, context) as server, open_client() as client:
        exchange = user()
        sent = request(server.url, method, tls_ca=ca, body=b"x" if method == "POST" else None)
        for _ in range(4):
            send(client, exchange, sent)
            assert (exchange.error, exchange.attempts, exchange.flags) == (0, 1, CONNECTED)
            fd = descriptor_of(exchange)
            if fd >= 0:
                until(
                    lambda: (
                        bool(client.poll(0.0)) or descriptor_of(exchange) < 0 or is_gone(server.connections)
                    )
                )
        assert len(server.connections) == 4


def is_gone(connections: list[Connection]) -> bool:
    return connections[-1].socket.fileno() < 0


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (b"", "closed"),
        (OK[:-1], "truncated"),
        (OK[:30], "truncated"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "truncated"),
        (b"HTTP/1.1 200 OK\r\n\r\nall of it", ""),
    ],
)
@pytest.mark.parametrize("politely", [True, False])
def test_an_end_with_or_without_a_goodbye(tls: Authority, told: bytes, kind: str, politely: bool) -> None:
    context, ca = tls

    def serve(connection: Connection) -> None:
        connection.read_request()
        if told:
            connection.send(told)
        if politely:
            say_goodbye(connection)
        os.close(connection.socket.detach())

    with serving(serve, context) as server, open_client() as client:
        exchange = send(client, user(), request(server.url, tls_ca=ca, keep_body=True))
    if not politely and not kind:
        kind = "truncated"  # an end that is not said may be anybody's
    assert ERROR_KINDS[exchange.error] == kind
    assert exchange.body == (b"all of it" if not kind else exchange.body)


@wire_only("libcurl transfers leave what stands behind an answer for the next one to find")
@pytest.mark.parametrize("in_one", [True, False])
def test_a_second_answer_in_a_record_of_its_own_is_nobodys(tls: Authority, in_one: bool) -> None:
    context, ca = tls
    numbers = itertools.count(1)

    def serve(connection: Connection) -> None:
        while connection.read_request() is not None:
            number = next(numbers)
            # Under a cork, so that both records come together.
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            parts = [answer(b"%d" % number), answer(b"surplus")]
            for part in [b"".join(parts)] if in_one else parts:
                connection.send(part)
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    with serving(serve, context) as server, open_client() as client:
        exchange = user()
        for turn in range(1, 6):
            send(client, exchange, request(server.url, "POST", body=b"", tls_ca=ca, keep_body=True))
            assert (exchange.error, exchange.body, exchange.attempts) == (0, b"%d" % turn, 1)
        assert len(server.connections) == 5


@wire_only("libcurl reads its own sockets")
def test_a_record_that_arrives_between_looking_and_reading_is_read(
    tls: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, ca = tls
    looks, is_sent = threading.Event(), threading.Event()

    def serve(connection: Connection) -> None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for n in itertools.count():
            if connection.read_request() is None:
                return
            if n < 2:
                connection.send(OK)
                continue
            connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
            assert looks.wait(WAIT_S)
            connection.send(b"0\r\n\r\n")
            is_sent.set()

    look = wire_connection.ioctl
    turn = 0

    def look_slowly(*arguments: object) -> int:
        found: int = look(*arguments)  # type: ignore[call-overload]
        if turn == 2:
            looks.set()
            assert is_sent.wait(WAIT_S)
        return found

    with serving(serve, context) as server, open_client() as client:
        exchange = user()
        monkeypatch.setattr(wire_connection, "ioctl", look_slowly)
        for turn in range(3):  # noqa: B007 - read above
            send(client, exchange, request(server.url, tls_ca=ca, timeout_s=5.0))
            assert (exchange.error, exchange.status) == (0, 200)


@pytest.mark.parametrize("has_one", [True, False])
def test_a_client_certificate_is_shown_where_it_is_asked_for(tmp_path: Path, has_one: bool) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    ca.issue_cert("me@example.com").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "me.pem"))
    seen: list[object] = []

    def serve(connection: Connection) -> None:
        assert isinstance(connection.socket, ssl.SSLSocket)
        seen.append(connection.socket.getpeercert())
        serve_plainly(connection)

    with serving(serve, context) as server, open_client() as client:
        shown: dict[str, object] = {"tls_cert": tmp_path / "me.pem"} if has_one else {}
        exchange = user()
        for _ in range(2):
            send(client, exchange, request(server.url, tls_ca=tmp_path / "ca.pem", **shown))
            kind = ERROR_KINDS[exchange.error]
            # In TLS 1.3 the refusal comes when the request is out; its alert may be overtaken by the end.
            assert kind == "" if has_one else kind in ("tls", "reset", "closed")
    assert len(seen) == int(has_one)
    assert not has_one or "me@example.com" in str(seen[0])


def test_a_large_body_goes_out_while_the_server_reads_slowly(tls: Authority) -> None:
    context, ca = tls
    body = bytes(range(256)) * 12_000
    bodies: list[bytes] = []

    def serve(connection: Connection) -> None:
        while (got := connection.read_request()) is not None:
            bodies.append(got.partition(b"\r\n\r\n")[2])
            connection.send(OK)

    with serving(serve, context) as server, open_client() as client:
        exchange = user()
        for _ in range(3):
            send(client, exchange, request(server.url, "POST", body=body, tls_ca=ca))
            assert (exchange.error, exchange.attempts) == (0, 1)
        assert exchange.sent_bytes > len(body)
    assert [got == body for got in bodies] == [True] * 3
